"""Readout error that differs between 0 and 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from torch import Tensor

from sqdr.noise.strengths import Number, check_strength, from_plain, shown, to_plain
from sqdr.validation import argument_error


@dataclass(frozen=True, eq=False, repr=False)
class ReadoutError:
    """Probabilities that a measured bit is read wrongly, by what it is; the names are Qiskit's.

    <Z> becomes (1 - a - b) <Z> + b - a, with a the first and b the second, and so does any Pauli, which
    is measured by turning its axis to Z. A single number p as `NoiseModel.readout_error` is both.

    Args:
        prob_meas1_prep0, prob_meas0_prep1 (floats, sequences of floats, Tensors or Parameters): in
            [0, 1], that 0 is read as 1 and that 1 is read as 0; one or one for each wire, trained if it
            is an `nn.Parameter`.

    Raises:
        ValueError: if either is no probability.
    """

    prob_meas1_prep0: Number | Sequence[float]
    prob_meas0_prep1: Number | Sequence[float]

    def __post_init__(self) -> None:
        for name, value in vars(self).copy().items():
            object.__setattr__(self, name, check_strength(f"ReadoutError.{name}", value))

    @property
    def scale(self) -> Number:
        return 1 - cast(Number, self.prob_meas1_prep0) - cast(Number, self.prob_meas0_prep1)

    @property
    def shift(self) -> Number:
        return cast(Number, self.prob_meas0_prep1) - cast(Number, self.prob_meas1_prep0)

    def named_strengths(self) -> Iterator[tuple[str, str, Number]]:
        """As `NoiseModel.named_strengths`."""
        for name, value in vars(self).items():
            yield f"readout_error_{name}", f"ReadoutError.{name}", value

    def with_strengths(self, strengths: Mapping[str, Any]) -> ReadoutError:
        """With other probabilities, by their names in `named_strengths`; not checked."""
        error = object.__new__(ReadoutError)
        for name, value in vars(self).items():
            object.__setattr__(error, name, strengths.get(f"readout_error_{name}", value))
        return error

    def to_plain(self) -> dict[str, Any]:
        return {name: to_plain(value) for name, value in vars(self).items()}

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> ReadoutError:
        """The error that `to_plain` describes."""
        names = [field.name for field in fields(ReadoutError)]
        if set(plain) != set(names):
            must = f"be a probability, or hold {' and '.join(names)}"
            raise argument_error("readout_error", must, f"is {dict(plain)!r}")
        return ReadoutError(*(from_plain(f"ReadoutError.{name}", plain[name]) for name in names))

    def __bool__(self) -> bool:
        """Whether a bit can be read wrongly. A tensor counts, since it may change."""
        return any(isinstance(value, Tensor) or value != 0 for value in vars(self).values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReadoutError):
            return NotImplemented
        return self.to_plain() == other.to_plain()

    def __hash__(self) -> int:
        return hash(ReadoutError)

    def in_words(self, digits: int | None = 4) -> str:
        zero, one = (shown(value, digits) for value in vars(self).values())
        return f"{zero} of 0 and {one} of 1"

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={shown(value)}" for name, value in vars(self).items())
        return f"ReadoutError({values})"
