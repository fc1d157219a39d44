"""Too little memory: refused before anything is allocated, or recognised by its error."""

import os
from collections.abc import Callable
from decimal import Decimal

import torch

from sqdr.validation import argument_error

#: Needs below this are not checked: asking for the memory there is costs more than a small circuit.
UNCHECKED_BYTES = 2**30


def check_memory(
    samples: int,
    bytes_per_sample: int,
    device: torch.device,
    method: str,
    remedy: Callable[[], tuple[str, str]],
) -> None:
    """Refuse an evaluation that needs more memory than there is.

    Args:
        samples (int): samples evaluated at a time.
        bytes_per_sample (int): what each of them needs.
        device (torch.device): where.
        method (str): name of the method of evaluation, for the message.
        remedy (function): gives the name of the argument that must change, and how, where not even one
            sample fits.

    Raises:
        ValueError: if `samples` do not fit.
    """
    needed = samples * bytes_per_sample
    if needed <= UNCHECKED_BYTES:
        return
    available = available_bytes(device)
    if available is None or needed <= available:
        return
    free = f"with the {method} method, and {available:.3g} are available"
    wanted = f"{Decimal(needed):.3g} bytes {free}"  # which may be beyond any float
    if bytes_per_sample <= available:
        must = f"hold at most {available // bytes_per_sample} samples at a time"
        raise argument_error("angles", must, f"{samples} need {wanted}")
    name, must = remedy()
    raise argument_error(name, must, f"one sample needs {wanted}")


def check_size(name: str, numbers: int, bytes_each: int, device: torch.device, what: str) -> None:
    """Refuse a circuit whose own numbers need more memory than there is, before they are made.

    Args:
        name (str): the argument that must be smaller.
        numbers (int): how many.
        bytes_each (int): of one of them.
        device (torch.device): where.
        what (str): they are, for the message.

    Raises:
        ValueError: if they do not fit.
    """
    needed = numbers * bytes_each
    available = available_bytes(device) if needed > UNCHECKED_BYTES else None
    if available is not None and needed > available:
        but = f"{what} need {Decimal(needed):.3g} bytes, and {available:.3g} are available"
        raise argument_error(name, "be smaller", but)


def available_bytes(device: torch.device) -> int | None:
    """Memory that a new tensor on `device` can take, or None where that is not known."""
    if device.type == "cuda":
        held_unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held_unused
    if device.type != "cpu":
        return None
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return 1024 * int(line.split()[1])
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # not Linux, or not POSIX
        return None


def is_lack_of_memory(error: Exception) -> bool:
    """Whether Python or torch could not allocate; on the CPU torch has no class of error for that."""
    messages = "DefaultCPUAllocator: can't allocate memory", "Storage size calculation overflowed"
    is_on_cpu = isinstance(error, RuntimeError) and any(text in str(error) for text in messages)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or is_on_cpu
