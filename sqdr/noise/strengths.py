"""How strong noise is: a probability, one for each wire, trained, or drawn from the data."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sqdr.validation import argument_error, check_number

Number = float | Tensor


class Strength(ABC):
    """The strength of a channel where it depends on the circuit or on its data.

    A subclass is a frozen dataclass with one field or none.
    """

    @abstractmethod
    def realise(self, angles: Tensor, n_blocks: int, generator: torch.Generator) -> Tensor:
        """The strength in one evaluation of a circuit.

        Args:
            angles (Tensor of shape (batch, n_wires, 3)): of the data, in radians.
            n_blocks (int): number of blocks.
            generator (torch.Generator): the circuit's own, on the CPU.

        Returns:
            Tensor that broadcasts to (n_blocks, batch, n_wires): probabilities, those after a CZ layer
            in the place of the block before it.
        """


@dataclass(frozen=True)
class OnLastWire(Strength):
    """A probability on the last wire, and none on the others."""

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", check_number("OnLastWire.value", self.value, 0, 1))

    def realise(self, angles: Tensor, n_blocks: int, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        strength = angles.new_zeros(angles.shape[1])
        strength[-1] = self.value
        return strength


@dataclass(frozen=True)
class SigmoidOfDrawnAngle(Strength):
    """The sigmoid of one of the wire's three angles, drawn anew for each block, sample and wire."""

    def realise(self, angles: Tensor, n_blocks: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randint(3, (n_blocks, *angles.shape[:2], 1), generator=generator)
        repeated = angles.expand(n_blocks, *angles.shape)
        return torch.sigmoid(repeated.gather(-1, drawn.to(angles.device)).squeeze(-1))


def check_probabilities(argument: str, strength: Tensor) -> None:
    """Report values that are not finite or not in [0, 1].

    Raises:
        ValueError: on the CPU; on CUDA and in compiled code an assertion reports them later, so that
            nothing waits for the device.
    """
    in_range = (strength >= 0) & (strength <= 1)  # False for NaN
    if strength.is_cuda or torch.compiler.is_compiling():
        torch._assert_async(in_range.all(), f"Argument `{argument}` must be in [0, 1], but is not.")
    elif not in_range.all():
        _refuse_outside(argument, strength, in_range)


def check_strength(argument: str, value: Any) -> Number:
    """`value` as a float in [0, 1], or, where it is trained or one for each wire, as a tensor."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = torch.tensor([check_number(argument, v, 0, 1) for v in value], dtype=torch.float64)
    if not isinstance(value, Tensor) or not (value.dim() or is_trained(value)):
        return check_number(argument, value, 0, 1)
    if not value.is_floating_point() or value.dim() > 1 or value.numel() == 0:
        must = "be a number or a floating-point tensor of one axis"
        raise argument_error(argument, must, f"has shape {tuple(value.shape)} and dtype {value.dtype}")
    in_range = (value >= 0) & (value <= 1)
    if not in_range.all():
        _refuse_outside(argument, value, in_range)
    return value


def _refuse_outside(argument: str, values: Tensor, in_range: Tensor) -> None:
    wrong = values[~in_range][0].item()
    raise argument_error(argument, "be a finite number in [0, 1], or hold such", f"holds {wrong!r}")


def is_trained(strength: Tensor) -> bool:
    return isinstance(strength, nn.Parameter) or strength.requires_grad


def to_plain(strength: Any) -> Any:
    """A strength in numbers, strings, lists and dicts, as `NoiseModel.to_dict` describes them."""
    if isinstance(strength, Tensor):
        return {"Parameter": strength.tolist()} if is_trained(strength) else strength.tolist()
    if isinstance(strength, Strength):
        name = type(strength).__name__
        values = list(vars(strength).values())
        return {name: values[0]} if values else name
    return strength


def from_plain(argument: str, plain: Any) -> Any:
    """The strength that `to_plain` describes; as it is, unchecked, if it is no string or mapping."""
    if not isinstance(plain, str | Mapping):
        return plain

    def parameter(value: Any) -> nn.Parameter:
        return nn.Parameter(torch.as_tensor(check_strength(argument, value), dtype=torch.float64))

    kinds: dict[str, Callable[..., Any]] = {kind.__name__: kind for kind in Strength.__subclasses__()}
    kinds["Parameter"] = parameter
    entries = [(plain,)] if isinstance(plain, str) else list(plain.items())
    if len(entries) == 1 and entries[0][0] in kinds:
        name, *values = entries[0]
        if len(values) == len(inspect.signature(kinds[name]).parameters):
            return kinds[name](*values)
    must = f"be a finite number in [0, 1], a sequence of such, or of {', '.join(kinds)}"
    raise argument_error(argument, must, f"is {plain!r}")


def shown(strength: Any) -> str:
    if not isinstance(strength, Tensor):
        return repr(strength)
    values = np.array2string(strength.detach().cpu().numpy(), precision=4, separator=", ")
    return f"Parameter({values})" if is_trained(strength) else values
