"""Noise as data: one-qubit channels, and where in the circuit they act."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from sqdr.validation import argument_error, check_number


class BlochMap(NamedTuple):
    """What a channel does to a Bloch vector: (x, y, z) -> (scale * (x, y, z)) + (0, 0, shift_z).

    Every channel of this module has this form, and so has every sequence of them.
    """

    scale_x: float = 1.0
    scale_y: float = 1.0
    scale_z: float = 1.0
    shift_z: float = 0.0

    def then(self, later: BlochMap) -> BlochMap:
        """The map that applies `self` first and `later` second."""
        return BlochMap(
            later.scale_x * self.scale_x,
            later.scale_y * self.scale_y,
            later.scale_z * self.scale_z,
            later.scale_z * self.shift_z + later.shift_z,
        )


@dataclass(frozen=True)
class Channel(ABC):
    """A one-qubit noise channel with a single strength, a probability in [0, 1].

    Raises:
        ValueError: if the strength is not a finite number in [0, 1].
    """

    def __post_init__(self) -> None:
        (strength,) = fields(self)
        argument = f"{type(self).__name__}.{strength.name}"
        value = check_number(argument, getattr(self, strength.name), 0, 1)
        object.__setattr__(self, strength.name, value)

    @abstractmethod
    def bloch_map(self) -> BlochMap:
        """The channel as a map of Bloch vectors."""


@dataclass(frozen=True)
class BitFlip(Channel):
    """Pauli X with probability `p`; `qml.BitFlip`."""

    p: float

    def bloch_map(self) -> BlochMap:
        return BlochMap(scale_y=1 - 2 * self.p, scale_z=1 - 2 * self.p)


@dataclass(frozen=True)
class PhaseFlip(Channel):
    """Pauli Z with probability `p`; `qml.PhaseFlip`."""

    p: float

    def bloch_map(self) -> BlochMap:
        return BlochMap(scale_x=1 - 2 * self.p, scale_y=1 - 2 * self.p)


@dataclass(frozen=True)
class Depolarizing(Channel):
    """Pauli X, Y or Z, each with probability `p` / 3; `qml.DepolarizingChannel`."""

    p: float

    def bloch_map(self) -> BlochMap:
        scale = 1 - 4 * self.p / 3
        return BlochMap(scale, scale, scale)


@dataclass(frozen=True)
class AmplitudeDamping(Channel):
    """Decay from |1> to |0> with probability `gamma`; `qml.AmplitudeDamping`."""

    gamma: float

    def bloch_map(self) -> BlochMap:
        transverse = math.sqrt(1 - self.gamma)
        return BlochMap(transverse, transverse, 1 - self.gamma, self.gamma)


@dataclass(frozen=True)
class PhaseDamping(Channel):
    """Loss of phase with probability `gamma`, without decay; `qml.PhaseDamping`."""

    gamma: float

    def bloch_map(self) -> BlochMap:
        transverse = math.sqrt(1 - self.gamma)
        return BlochMap(transverse, transverse)


@dataclass(frozen=True)
class NoiseModel:
    """Noise of a re-uploading circuit.

    Args:
        after_rotation (sequence of Channel): act in this order on each wire after its rotations,
            in every block.
        after_entangler (sequence of Channel): act in this order on each wire after each layer of
            CZ gates, also on wires without a CZ (a layer takes time on every wire).
        readout_error (float): probability in [0, 1] that a measured bit is flipped;
            <Z> becomes (1 - 2 * readout_error) * <Z>.

    Raises:
        ValueError: if a place holds anything but channels, or `readout_error` is no probability.
    """

    after_rotation: Sequence[Channel] = ()
    after_entangler: Sequence[Channel] = ()
    readout_error: float = 0.0

    def __post_init__(self) -> None:
        for place in ("after_rotation", "after_entangler"):
            object.__setattr__(self, place, _as_channels(place, getattr(self, place)))
        error = check_number("readout_error", self.readout_error, 0, 1)
        object.__setattr__(self, "readout_error", error)

    @property
    def readout_scale(self) -> float:
        """Factor of every <Z>: 1 - 2 * readout_error."""
        return 1 - 2 * self.readout_error

    def __bool__(self) -> bool:
        """Whether there is any noise at all."""
        return bool(self.after_rotation or self.after_entangler or self.readout_error)


def channel(name: str, strength: float) -> Channel:
    """The channel of this class name, for instance "BitFlip"."""
    classes: dict[str, Any] = {kind.__name__: kind for kind in Channel.__subclasses__()}
    if name not in classes:
        raise argument_error("channel", f"be one of {', '.join(classes)}", f"is {name!r}")
    named: Channel = classes[name](strength)
    return named


def compose(channels: Iterable[Channel]) -> BlochMap:
    """One map of Bloch vectors for `channels`, applied in their order."""
    composed = BlochMap()
    for channel in channels:
        composed = composed.then(channel.bloch_map())
    return composed


def _as_channels(place: str, channels: Any) -> tuple[Channel, ...]:
    must = "be a sequence of channels"
    if isinstance(channels, Channel):
        raise argument_error(place, must, f"is the single channel {channels!r}; write ({channels!r},)")
    if isinstance(channels, str) or not isinstance(channels, Iterable):
        raise argument_error(place, must, f"is {channels!r}")
    sequence: tuple[Channel, ...] = tuple(channels)
    for channel in sequence:
        if not isinstance(channel, Channel):
            raise argument_error(place, must, f"holds {channel!r}")
    return sequence
