"""The front end."""

import math
from itertools import pairwise

from spikingjelly.activation_based import functional, layer
from torch import Tensor, nn

from sqdr.spiking.codes import phase_code
from sqdr.spiking.fused import evaluate
from sqdr.spiking.layers import Convolution
from sqdr.spiking.neurons import IntegrateAndFire
from sqdr.spiking.stages import Stage, stages_of

#: The smallest image that survives three poolings.
MIN_IMAGE_SIZE = 8


class SpikingEncoder(nn.Module):
    """A convolutional spiking network that turns an image into firing rates.

    Three times convolution, batch normalisation, integrate-and-fire neurons and max pooling, then a
    global average, a linear layer and integrate-and-fire neurons, whose spikes are averaged over the
    time steps. The layers and their settings are those of arXiv 2512.03895, built from SpikingJelly.
    On the CPU, four of them at a time run as compiled kernels, unless one is watched or changed.

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
                Convolution(before, after),
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
        stages = stages_of(self.layers, images)
        if stages:
            spikes = evaluate(stages, images, self.T)
            for module in list(self.layers)[len(Stage._fields) * len(stages) :]:
                spikes = module(spikes)
        else:
            weight: Tensor = next(self.parameters())
            spikes = self.layers(phase_code(images, self.T).to(weight.dtype))
        return spikes.mean(0)
