"""Images with their labels, in memory, and whether they fit there."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sqdr.memory import available_bytes
from sqdr.validation import argument_error


class Images(NamedTuple):
    """images (Tensor of shape (n, channels, height, width)) in [0, 1]; labels (Tensor of shape (n,))"""

    images: Tensor
    labels: Tensor


def check_fits(argument: str, must: str, what: str, n_bytes: float) -> None:
    """ValueError, about this argument, unless so many bytes of images fit into memory."""
    available = available_bytes(torch.device("cpu"))
    if available is not None and n_bytes > available:
        but = f"{what} needs {n_bytes / 1e9:.3g} GB and {available / 1e9:.3g} GB are free"
        raise argument_error(argument, must, but)
