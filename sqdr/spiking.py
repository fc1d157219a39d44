"""The spiking front end: images -> firing rates."""

import math
from itertools import pairwise
from typing import cast

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

#: Phases of the phase code: the bits of an 8-bit image.
N_PHASES = 8
#: The smallest image that survives three poolings.
SMALLEST_IMAGE = 8


class SpikingEncoder(nn.Module):
    """A convolutional spiking network that turns an image into firing rates.

    Three times convolution, batch normalisation, integrate-and-fire neurons and max pooling, then a
    global average, a linear layer and integrate-and-fire neurons, whose spikes are averaged over the
    time steps. The layers and their settings are those of arXiv 2512.03895, built from SpikingJelly.

    Args:
        T (int): number of time steps.
        in_channels (int): channels of the image.
        out_features (int): number of firing rates.
        width (int): factor of the number of channels, which are 2, 4 and 8 times in_channels * width.

    Shape:
        images (Tensor of shape (batch, in_channels, height, width)): in [0, 1], at least 8 x 8.
        returns (Tensor of shape (batch, out_features)): firing rates in [0, 1], in steps of 1 / T.
    """

    def __init__(self, T: int, in_channels: int, out_features: int, width: int = 1) -> None:
        super().__init__()
        self.T = T
        channels = [in_channels, *(factor * in_channels * width for factor in (2, 4, 8))]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [
                layer.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
                layer.BatchNorm2d(after, momentum=math.sqrt(0.1)),
                IntegrateAndFire(),
                layer.MaxPool2d(2, 2),
            ]
        layers += [
            layer.AdaptiveAvgPool2d((1, 1)),
            layer.Flatten(),
            layer.Linear(channels[-1], out_features),
            IntegrateAndFire(),
        ]
        self.layers = nn.Sequential(*layers)
        functional.set_step_mode(self, "m")

    def forward(self, images: Tensor) -> Tensor:
        spikes = self.layers(phase_code(images, self.T))
        return cast(Tensor, spikes.mean(0))


class IntegrateAndFire(neuron.IFNode):  # type: ignore[misc]
    """SpikingJelly's integrate-and-fire neuron with the ATan surrogate gradient, without memory.

    Each call starts from a membrane potential of zero and leaves nothing behind, so there is nothing
    to reset, and calls of different batch sizes or from different threads do not meet.
    """

    def __init__(self) -> None:
        super().__init__(surrogate_function=surrogate.ATan())

    def multi_step_forward(self, x_seq: Tensor) -> Tensor:
        """Input currents (T, ...) -> spikes (T, ...)."""
        spikes, _, _ = functional.if_multi_step(
            x_seq,
            torch.zeros_like(x_seq[0]),
            v_threshold=self.v_threshold,
            v_reset=self.v_reset,
            surrogate_function=self.surrogate_function,
            detach_reset=self.detach_reset,
        )
        return cast(Tensor, spikes)


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
