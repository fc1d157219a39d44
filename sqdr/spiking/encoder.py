"""The front end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from spikingjelly.activation_based import functional, layer
from torch import Tensor, nn

from sqdr.processes import OwnGenerator
from sqdr.spiking.codes import Code, repeated, steps_of
from sqdr.spiking.fused import evaluate
from sqdr.spiking.layers import Convolution
from sqdr.spiking.neurons import Neuron, Surrogate, new_neuron
from sqdr.spiking.stages import Stage, stages_of
from sqdr.validation import argument_error, check_choice, check_integer, check_number

#: The arguments that choose a front end, with their defaults, which are the published ones.
FRONT_END: dict[str, Any] = {
    "channels": (2, 4, 8),
    "neuron": "IF",
    "tau": 2.0,
    "code": "phase",
    "surrogate": "ATan",
}
#: After so many stages an image of the largest size is one pixel.
_MAX_STAGES = 13
_MAX_CHANNELS = 1_000


class SpikingEncoder(nn.Module):
    """A convolutional spiking network that turns an image into firing rates.

    In each stage convolution, batch normalisation, neurons and max pooling, then a global average, a
    linear layer and neurons, whose spikes are averaged over the time steps. The layers are
    SpikingJelly's, and the defaults those of arXiv 2512.03895. On the CPU, IF and LIF neurons with the
    ATan gradient run as compiled kernels, four layers at a time, unless a layer is watched or changed.

    Args:
        T (int): number of time steps.
        in_channels (int): channels of the image.
        out_features (int): number of firing rates.
        width (int): factor of the number of channels. Default: 1.
        channels (sequence of int): of each stage, as multiples of in_channels * width. Default:
            (2, 4, 8).
        neuron (str): "IF", integrate-and-fire; "LIF", leaky; "PLIF", leaky with a time constant that is
            trained in each layer. All start from a potential of 0 and are reset to 0. Default: "IF".
        tau (float): time constant of leaky neurons, in time steps, above 1; of "PLIF" at first.
            Default: 2.
        code (str): what makes spikes of the image, "phase", "rate" (drawn at random), "latency" or
            "direct", see `sqdr.spiking.codes.steps_of`. Default: "phase".
        surrogate (str): the surrogate gradient of the spikes, "ATan", "Erf", "PiecewiseExp",
            "PiecewiseQuadratic", "Sigmoid", "SoftSign" or "SuperSpike", as SpikingJelly has it by
            default. Default: "ATan".

    Attributes:
        channels, neuron, tau, code, surrogate: as given.
        min_image_size (int): height and width of the smallest image that survives the poolings.

    Shape:
        images (Tensor of shape (batch, in_channels, height, width)): in [0, 1], at least
            `min_image_size` high and wide.
        returns (Tensor of shape (batch, out_features)): firing rates in [0, 1], in steps of 1 / T.

    Raises:
        ValueError: if an argument is out of its domain.
    """

    def __init__(
        self,
        T: int,
        in_channels: int,
        out_features: int,
        width: int = 1,
        *,
        channels: Sequence[int] = FRONT_END["channels"],
        neuron: Neuron = "IF",
        tau: float = FRONT_END["tau"],
        code: Code = "phase",
        surrogate: Surrogate = "ATan",
    ) -> None:
        super().__init__()
        self.T = T
        chosen = {"channels": channels, "neuron": neuron, "tau": tau, "code": code}
        self._chosen = checked_front_end({**chosen, "surrogate": surrogate})
        self.channels: tuple[int, ...] = self._chosen["channels"]
        self.neuron, self.tau, self.code, self.surrogate = neuron, self._chosen["tau"], code, surrogate
        self._own_generator = OwnGenerator()
        sizes = [in_channels, *(factor * in_channels * width for factor in self.channels)]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [
                Convolution(before, after),
                layer.BatchNorm2d(after, momentum=math.sqrt(0.1)),
                new_neuron(neuron, self.tau, surrogate),
                layer.MaxPool2d(2, 2),
            ]
        layers += [
            layer.AdaptiveAvgPool2d((1, 1)),
            layer.Flatten(),
            layer.Linear(sizes[-1], out_features),
            new_neuron(neuron, self.tau, surrogate),
        ]
        self.layers = nn.Sequential(*layers)
        functional.set_step_mode(self, "m")

    @property
    def min_image_size(self) -> int:
        return smallest_image(self.channels)

    @property
    def generator(self) -> torch.Generator | None:
        """Where the code "rate" draws from, on the CPU, as `ReuploadCircuit.generator`; else None."""
        return self._own_generator.get() if self.code == "rate" else None

    def front_end(self) -> dict[str, Any]:
        """The arguments that choose this front end, without those that have their defaults."""
        return {name: value for name, value in self._chosen.items() if value != FRONT_END[name]}

    def forward(self, images: Tensor) -> Tensor:
        stages = stages_of(self.layers, images)
        if stages:
            code = None if self.code == "phase" else self._steps  # whose bits the kernels know
            spikes = evaluate(stages, images, self.T, code)
            for module in list(self.layers)[len(Stage._fields) * len(stages) :]:
                spikes = module(spikes)
        else:
            weight: Tensor = next(self.parameters())
            spikes = self.layers(repeated(self._steps(images), self.T).to(weight.dtype))
        return spikes.mean(0)

    def _steps(self, images: Tensor) -> Tensor:
        """The time steps of images; see `steps_of`."""
        generator = None
        if self.code == "rate":
            generator = self._own_generator.to_draw_from("A spiking front end with drawn spikes")
        return steps_of(self.code, images, self.T, generator)


def checked_front_end(chosen: dict[str, Any]) -> dict[str, Any]:
    """The arguments that choose a front end, in plain Python types.

    Raises:
        ValueError: if one is out of its domain.
    """
    check_choice("neuron", chosen["neuron"], Neuron)
    check_choice("code", chosen["code"], Code)
    check_choice("surrogate", chosen["surrogate"], Surrogate)
    channels = chosen["channels"]
    if isinstance(channels, str) or not isinstance(channels, Sequence):
        raise argument_error("channels", "be a list of integers", f"is {channels!r}")
    if not 1 <= len(channels) <= _MAX_STAGES:
        raise argument_error("channels", f"be for 1 to {_MAX_STAGES} stages", f"is {list(channels)}")
    tau = check_number("tau", chosen["tau"])
    if not tau > 1:
        raise argument_error("tau", "be more than 1", f"is {tau:g}")
    checked = tuple(check_integer("channels", factor, 1, _MAX_CHANNELS) for factor in channels)
    return chosen | {"channels": checked, "tau": tau}


def smallest_image(channels: Sequence[int]) -> int:
    """Height and width of the smallest image that survives the poolings of so many stages."""
    return int(2 ** len(channels))
