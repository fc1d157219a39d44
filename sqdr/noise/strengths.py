"""How strong noise is: a probability, one for each wire, trained, or drawn from the data."""

from __future__ import annotations

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sqdr.validation import REAL_DTYPES, argument_error, check_number, check_real_tensor

Number = float | Tensor


class Strength(ABC):
    """The strength of a channel where it depends on the circuit or on its data.

    A subclass is a frozen dataclass with one field or none.
    """

    @abstractmethod
    def realise(self, angles: Tensor, n_blocks: int, generator: torch.Generator) -> Tensor:
        """The strength in one evaluation of a circuit.

        Args:
            angles (Tensor of shape (batch, n_wires, letters), or (n_blocks, batch, n_wires, letters)
                where they differ between blocks): of the data, in radians, three letters by default.
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
        strength = angles.new_zeros(angles.shape[-2])
        strength[-1] = self.value
        return strength


@dataclass(frozen=True)
class SigmoidOfDrawnAngle(Strength):
    """The sigmoid of one of the wire's angles, drawn anew for each block, sample and wire."""

    def realise(self, angles: Tensor, n_blocks: int, generator: torch.Generator) -> Tensor:
        *sizes, letters = angles.shape[-3:]
        drawn = torch.randint(letters, (n_blocks, *sizes, 1), generator=generator)
        repeated = angles.expand(n_blocks, *sizes, letters)
        return torch.sigmoid(repeated.gather(-1, drawn.to(angles.device)).squeeze(-1))


#: The strengths that files may hold, by their names.
STRENGTHS: dict[str, Callable[..., Strength]] = {
    kind.__name__: kind for kind in (OnLastWire, SigmoidOfDrawnAngle)
}


def check_probabilities(argument: str, strength: Tensor) -> None:
    """Report values that are not finite or not in [0, 1].

    Raises:
        ValueError: on the CPU; on CUDA and in compiled code an assertion reports them later, so that
            nothing waits for the device.
    """
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(strength):  # by vmap, which lets nobody see values
        strength = functorch.get_unwrapped(strength)
    in_range = (strength >= 0) & (strength <= 1)  # False for NaN
    if strength.is_cuda or torch.compiler.is_compiling():
        torch._assert_async(in_range.all(), f"Argument `{argument}` must be in [0, 1], but is not.")
    elif not in_range.all():
        _refuse_outside(argument, strength, in_range)


def check_realised(strength: Strength, realised: Any, sizes: Sequence[int]) -> None:
    """ValueError if what a strength of a class of one's own realises is no probability.

    NaN, of samples whose angles are NaN, passes where the strength is drawn from the data.

    Args:
        strength (Strength): whose.
        realised (Tensor): what its `realise` returned.
        sizes (sequence of 3 ints): n_blocks, batch and n_wires, to which it must broadcast.
    """
    kind = type(strength)
    if STRENGTHS.get(kind.__name__) is kind:
        return
    argument = f"{kind.__name__}.realise"
    check_real_tensor(argument, realised, "return a floating-point tensor")
    too_many = realised.dim() > len(sizes)
    if too_many or any(
        n not in (1, m) for n, m in zip(realised.shape[::-1], sizes[::-1], strict=False)
    ):
        must = f"return what broadcasts to {tuple(sizes)}"
        raise argument_error(argument, must, f"returns shape {tuple(realised.shape)}")
    check_probabilities(argument, realised.nan_to_num())


def check_strength(argument: str, value: Any) -> Number:
    """`value` as a float in [0, 1], or, where it is trained or one for each wire, as a tensor.

    Raises:
        ValueError: if it is neither a number, a sequence of numbers, a plain tensor nor an
            `nn.Parameter`, of at most one axis, in [0, 1].
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        for entry in value:
            if isinstance(entry, Tensor) and (entry.dim() or is_trained(entry)):
                must = "be one nn.Parameter of shape (n_wires,) to be trained for each wire"
                raise argument_error(argument, must, f"holds {type(entry).__name__} {shown(entry)}")
        if not value:
            raise argument_error(argument, "have one value or more", "is empty")
        numbers = [check_number(argument, entry, 0, 1) for entry in value]
        value = torch.tensor(numbers, dtype=torch.float64, device="cpu")
    if not isinstance(value, Tensor):
        return check_number(argument, value, 0, 1)
    if nn.parameter.is_lazy(value):
        raise argument_error(argument, "have its values", "is an uninitialised parameter")
    if not value.is_leaf:
        must = "be a number, a plain tensor or an nn.Parameter"
        raise argument_error(argument, must, "is computed, and would not be computed anew")
    if not (value.dim() or is_trained(value)):
        return check_number(argument, value.item(), 0, 1)
    if (
        value.dtype not in REAL_DTYPES
        or value.layout != torch.strided
        or value.dim() > 1
        or value.numel() == 0
    ):
        must = "be a number or a dense tensor of one axis, of 16, 32 or 64 bits"
        what = f"has shape {tuple(value.shape)}, dtype {value.dtype} and layout {value.layout}"
        raise argument_error(argument, must, what)
    if not value.is_meta:
        in_range = (value >= 0) & (value <= 1)
        if not in_range.all():
            _refuse_outside(argument, value, in_range)
    return value


def _refuse_outside(argument: str, values: Tensor, in_range: Tensor) -> None:
    wrong = values[~in_range][0].item()
    raise argument_error(argument, "be a finite number in [0, 1], or hold such", f"holds {wrong!r}")


def is_trained(strength: Tensor) -> bool:
    return isinstance(strength, nn.Parameter) or strength.requires_grad


def check_known(argument: str, strength: Strength) -> None:
    """ValueError if files hold no strength of this class."""
    if STRENGTHS.get(type(strength).__name__) is not type(strength):
        must = f"be a number, a tensor or one of {', '.join(STRENGTHS)} to be written to a file"
        raise argument_error(argument, must, f"is {strength!r}")


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

    kinds: dict[str, Callable[..., Any]] = STRENGTHS | {"Parameter": parameter}
    entries = [(plain,)] if isinstance(plain, str) else list(plain.items())
    if len(entries) == 1 and entries[0][0] in kinds:
        name, *values = entries[0]
        if len(values) == len(inspect.signature(kinds[name]).parameters):
            return kinds[name](*values)
    must = f"be a finite number in [0, 1], a sequence of such, or of {', '.join(kinds)}"
    raise argument_error(argument, must, f"is {plain!r}")


#: Of the values for each wire, as many as are listed in short.
_MOST_LISTED = 4


def shown(strength: Any, digits: int | None = None) -> str:
    """A strength as text: numbers in full, those of tensors to four digits.

    With `digits`, which numbers have, it is in short: from five values on the least and the largest.
    """
    if isinstance(strength, float) and digits is not None:
        return f"{strength:.{digits}g}"
    if not isinstance(strength, Tensor):
        return repr(strength)
    if strength.is_meta:
        values = f"{tuple(strength.shape)} without values"
    else:
        array = strength.detach().cpu().double().numpy()
        if digits is not None and array.size > _MOST_LISTED:
            ends = dict.fromkeys(f"{end:.{digits}g}" for end in (array.min(), array.max()))
            return f"{'Parameter of ' if is_trained(strength) else ''}{' to '.join(ends)}"
        values = np.array2string(
            array,
            max_line_width=sys.maxsize,
            separator=", ",
            formatter={"float_kind": "{:.4g}".format},
            threshold=20,
        )
    return f"Parameter({values})" if is_trained(strength) else values
