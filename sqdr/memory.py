"""Errors that mean too little memory."""

import torch


def is_lack_of_memory(error: Exception) -> bool:
    """Whether Python or torch could not allocate; on the CPU torch has no class of error for that."""
    messages = "DefaultCPUAllocator: can't allocate memory", "Storage size calculation overflowed"
    is_on_cpu = isinstance(error, RuntimeError) and any(text in str(error) for text in messages)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or is_on_cpu
