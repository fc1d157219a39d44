"""Codes: images -> spikes."""

import torch
from torch import Tensor

#: Phases of the phase code: the bits of an 8-bit image.
N_PHASES = 8


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
