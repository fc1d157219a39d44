"""One-wire channels: what they do to a Bloch vector, and their Kraus operators."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from sqdr.noise.strengths import (
    Number,
    Strength,
    check_strength,
    from_plain,
    shown,
    to_plain,
)
from sqdr.validation import argument_error


class BlochMap(NamedTuple):
    """What a channel does to a Bloch vector: (x, y, z) -> (scale * (x, y, z)) + (0, 0, shift_z).

    Every channel of this module has this form, and so has every sequence of them. The numbers are
    floats, or tensors of the shape of the strength.
    """

    scale_x: Number = 1.0
    scale_y: Number = 1.0
    scale_z: Number = 1.0
    shift_z: Number = 0.0

    def then(self, later: BlochMap) -> BlochMap:
        """The map that applies `self` first and `later` second."""
        return BlochMap(
            later.scale_x * self.scale_x,
            later.scale_y * self.scale_y,
            later.scale_z * self.scale_z,
            later.scale_z * self.shift_z + later.shift_z,
        )

    def in_block(self, block: int) -> BlochMap:
        """The map in one block: tensors of shape (n_blocks or 1, ...) lose their first axis."""
        return BlochMap(*(n[min(block, len(n) - 1)] if isinstance(n, Tensor) else n for n in self))


@dataclass(frozen=True, eq=False, repr=False)
class Channel(ABC):
    """A one-qubit noise channel with a single strength, a probability in [0, 1].

    The strength is one of

    - a number;
    - a sequence of numbers or a Tensor of shape (n_wires,), one for each wire, which the circuit keeps
      as a buffer;
    - an `nn.Parameter` of one value or of shape (n_wires,), which the circuit trains. Keep it in
      [0, 1], for instance by `p.clamp_(0, 1)` after each step: a circuit refuses to be evaluated
      beyond;
    - a `Strength`, which depends on the circuit.

    Raises:
        ValueError: if the strength is not finite and in [0, 1], or has more than one axis.
    """

    _field: ClassVar[str] = "p"

    def __post_init__(self) -> None:
        if not isinstance(self.strength, Strength):
            object.__setattr__(self, self._field, check_strength(self.argument, self.strength))

    @abstractmethod
    def bloch_map(self) -> BlochMap:
        """The channel as a map of Bloch vectors; its numbers have the shape of the strength."""

    @abstractmethod
    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        """Entries 00, 01, 10, 11 of each operator, from the roots of 1 - strength and of strength."""

    @property
    def strength(self) -> Number | Strength:
        """The value of the channel's only field."""
        return cast("Number | Strength", getattr(self, self._field))

    @property
    def argument(self) -> str:
        """Name of the strength in messages, for instance "BitFlip.p"."""
        return f"{type(self).__name__}.{self._field}"

    def kraus_operators(self) -> Tensor:
        """Kraus operators K of the channel, which takes rho to the sum of K rho K^dagger.

        They have no gradient at strengths 0 and 1, where the slope of their square roots is infinite;
        `bloch_map` has one.

        Returns:
            complex Tensor of shape (k, 2, 2), or (*strength.shape, k, 2, 2); complex128 for a number.
        """
        strength = self._number
        if not isinstance(strength, Tensor):
            strength = torch.tensor(strength, dtype=torch.float64)
        operators = self._kraus_entries((1 - strength).sqrt(), strength.sqrt())
        entries = [entry for operator in operators for entry in operator]
        return torch.unflatten(stack(entries, strength.to(strength.dtype.to_complex())), -1, (-1, 2, 2))

    def with_strength(self, strength: Number | Strength) -> Channel:
        """This channel with another strength, which is not checked."""
        channel = object.__new__(type(self))
        object.__setattr__(channel, self._field, strength)
        return channel

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Channel):
            return NotImplemented
        return type(self) is type(other) and to_plain(self.strength) == to_plain(other.strength)

    def __hash__(self) -> int:
        # Not of a tensor's values, which may change.
        return hash((type(self), None if isinstance(self.strength, Tensor) else self.strength))

    def __repr__(self) -> str:
        return f"{self.argument.replace('.', '(')}={shown(self.strength)})"

    @property
    def _number(self) -> Number:
        if isinstance(self.strength, Strength):
            but = f"is {self.strength!r}; see `ReuploadCircuit.realised_noise`"
            raise argument_error(self.argument, "be a number or a tensor here", but)
        return self.strength


@dataclass(frozen=True, eq=False, repr=False)
class BitFlip(Channel):
    """Pauli X with probability `p`; `qml.BitFlip`."""

    p: Number | Sequence[float] | Strength

    def bloch_map(self) -> BlochMap:
        scale = 1 - 2 * self._number
        return BlochMap(scale_y=scale, scale_z=scale)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (kept, 0, 0, kept), (0, changed, changed, 0)


@dataclass(frozen=True, eq=False, repr=False)
class PhaseFlip(Channel):
    """Pauli Z with probability `p`; `qml.PhaseFlip`."""

    p: Number | Sequence[float] | Strength

    def bloch_map(self) -> BlochMap:
        scale = 1 - 2 * self._number
        return BlochMap(scale_x=scale, scale_y=scale)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (kept, 0, 0, kept), (changed, 0, 0, -changed)


@dataclass(frozen=True, eq=False, repr=False)
class Depolarizing(Channel):
    """Pauli X, Y or Z, each with probability `p` / 3; `qml.DepolarizingChannel`."""

    p: Number | Sequence[float] | Strength

    def bloch_map(self) -> BlochMap:
        scale = 1 - 4 * self._number / 3
        return BlochMap(scale, scale, scale)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        each = changed / math.sqrt(3)
        paulis = (0, each, each, 0), (0, -1j * each, 1j * each, 0), (each, 0, 0, -each)
        return (kept, 0, 0, kept), *paulis


@dataclass(frozen=True, eq=False, repr=False)
class AmplitudeDamping(Channel):
    """Decay from |1> to |0> with probability `gamma`; `qml.AmplitudeDamping`."""

    gamma: Number | Sequence[float] | Strength
    _field = "gamma"

    def bloch_map(self) -> BlochMap:
        gamma = self._number
        transverse = _root(1 - gamma)
        return BlochMap(transverse, transverse, 1 - gamma, gamma)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (1, 0, 0, kept), (0, changed, 0, 0)


@dataclass(frozen=True, eq=False, repr=False)
class PhaseDamping(Channel):
    """Loss of phase with probability `gamma`, without decay; `qml.PhaseDamping`."""

    gamma: Number | Sequence[float] | Strength
    _field = "gamma"

    def bloch_map(self) -> BlochMap:
        transverse = _root(1 - self._number)
        return BlochMap(transverse, transverse)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (1, 0, 0, kept), (0, 0, 0, changed)


def named_channel(name: str, strength: Any) -> Channel:
    """The channel of this class name, for instance "BitFlip".

    Args:
        name (str): name of the class.
        strength (float, Tensor or Strength): or its plain form, as in `NoiseModel.to_dict`.
    """
    classes: dict[str, Any] = {kind.__name__: kind for kind in Channel.__subclasses__()}
    if name not in classes:
        raise argument_error("channel", f"be one of {', '.join(classes)}", f"is {name!r}")
    kind = classes[name]
    named: Channel = kind(from_plain(f"{name}.{kind._field}", strength))
    return named


def compose(channels: Iterable[Channel]) -> BlochMap:
    """One map of Bloch vectors for `channels`, applied in their order."""
    composed = BlochMap()
    for channel in channels:
        composed = composed.then(channel.bloch_map())
    return composed


def stack(numbers: Sequence[complex | Tensor], like: Tensor) -> Tensor:
    """Numbers and tensors that broadcast together along a new last axis; dtype and device of `like`."""
    if not any(isinstance(number, Tensor) for number in numbers):
        return torch.tensor(numbers, dtype=like.dtype, device=like.device)
    tensors = [torch.as_tensor(number, dtype=like.dtype, device=like.device) for number in numbers]
    return torch.stack(torch.broadcast_tensors(*tensors), dim=-1)  # type: ignore[no-untyped-call]


def _root(number: Number) -> Number:
    """Square root of a number or tensor; its slope at 0, which is infinite, counts as 0 there."""
    if isinstance(number, Tensor):
        number = number.clamp(min=torch.finfo(number.dtype).tiny)
    return number**0.5
