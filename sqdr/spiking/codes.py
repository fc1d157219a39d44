"""Codes: images -> spikes."""

from typing import Literal

import torch
from torch import Tensor

#: Phases of the phase code: the bits of an 8-bit image.
N_PHASES = 8

Code = Literal["phase", "rate", "latency", "direct"]


def steps_of(code: Code, images: Tensor, T: int, generator: torch.Generator | None) -> Tensor:
    """What a code makes of images, without the time steps that come again and again.

    Args:
        code (str): "phase", see `phase_code`; "rate", spikes with the probability of the pixel, as
            SpikingJelly's `PoissonEncoder`; "latency", one spike, the earlier the brighter the pixel,
            as its `LatencyEncoder`; "direct", the pixels themselves, as currents.
        images (Tensor of shape (batch, ...)): in [0, 1].
        T (int): number of time steps.
        generator (torch.Generator or None): on the CPU, for the code "rate".

    Returns:
        Tensor of shape (P, batch, ...): time step t has the place t % P.
    """
    match code:
        case "phase":
            return phase_code(images, min(T, N_PHASES))
        case "rate":
            # Image by image, so that it does not matter how they are divided into batches.
            draws = torch.rand(
                images.shape[0], T, *images.shape[1:], dtype=images.dtype, generator=generator
            )
            return (draws.to(images.device).movedim(1, 0) <= images).to(images.dtype)
        case "latency":
            times = ((T - 1) * (1 - images)).round()
            steps = torch.arange(T, device=images.device).reshape(T, *[1] * images.dim())
            return (steps == times).to(images.dtype)
    return images[None]


def repeated(steps: Tensor, T: int) -> Tensor:
    """All T time steps of those that `steps_of` gives."""
    return steps if len(steps) == T else steps[torch.arange(T, device=steps.device) % len(steps)]


def phase_code(images: Tensor, T: int) -> Tensor:
    """Bits of the pixels as spikes, the most significant first, over and over for T time steps.

    This is SpikingJelly's `WeightedPhaseEncoder(K=8)` on images scaled by 255 / 256, without its check
    of the range, which would wait for a CUDA device. Source: Kim et al., Neurocomputing 311 (2018).

    Args:
        images (Tensor of shape (...)): in [0, 1].
        T (int): number of time steps.

    Returns:
        Tensor of shape (T, ...): zeros and ones.
    """
    phases = torch.arange(T, device=images.device) % N_PHASES
    place_values = (2.0 ** (phases + 1)).to(images.dtype).reshape(T, *[1] * images.dim())
    return torch.floor(images * 255 / 256 * place_values) % 2
