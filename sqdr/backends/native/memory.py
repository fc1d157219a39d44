"""Refusal of what cannot fit, before anything is allocated."""

import os

import torch

#: Needs below this are not checked: asking for the memory there is costs more than a small circuit.
UNCHECKED_BYTES = 2**30


def available_bytes(device: torch.device) -> int | None:
    """Memory that a new tensor on `device` can take, or None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
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
