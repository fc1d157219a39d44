"""The one form of an error about an argument, and the checks that several places share."""

import math
import operator
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from sqdr.errors import ArgumentError

#: In which is computed, or which are raised to such.
REAL_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def argument_error(name: str, must: str, but: str) -> ArgumentError:
    """A ValueError of the form "Argument `name` must ..., but ..."."""
    return ArgumentError(f"Argument `{name}` must {must}, but {but}.")


def check_integer(name: str, value: Any, minimum: int, maximum: float = math.inf) -> int:
    """`value` as an int in [minimum, maximum]; ValueError otherwise."""
    must = f"be an integer of at least {minimum}"
    if _is_truth_value(value):
        raise argument_error(name, must, f"is {value!r}")
    try:
        integer = operator.index(value)
    except TypeError:
        raise argument_error(name, must, f"is {value!r}") from None
    if integer < minimum:
        raise argument_error(name, must, f"is {integer}")
    if integer > maximum:
        raise argument_error(name, f"be at most {maximum:,}", f"is {integer}")
    return integer


def check_number(
    name: str,
    value: Any,
    minimum: float = -math.inf,
    maximum: float = math.inf,
) -> float:
    """`value` as a finite float in [minimum, maximum]; ValueError otherwise."""
    must = "be a finite number"
    if minimum > -math.inf or maximum < math.inf:
        must += f" in [{minimum:g}, {maximum:g}]"
    # float() would read these, and drop an imaginary part or a gradient.
    if _is_truth_value(value) or isinstance(value, str | bytes | np.complexfloating):
        raise argument_error(name, must, f"is {value!r}")
    if isinstance(value, Tensor) and value.requires_grad:
        raise argument_error(name, must, "has a gradient, which nothing would follow")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise argument_error(name, must, f"is {value!r}") from None
    if not (math.isfinite(number) and minimum <= number <= maximum):
        raise argument_error(name, must, f"is {number!r}")
    return number


def check_boolean(name: str, value: Any) -> bool:
    """`value` as a bool; ValueError unless it is one, of Python or NumPy: the text "no" is true."""
    if not isinstance(value, bool | np.bool_):
        raise argument_error(name, "be True or False", f"is {value!r}")
    return bool(value)


def _is_truth_value(value: Any) -> bool:
    is_of_torch = isinstance(value, Tensor) and value.dtype == torch.bool
    return is_of_torch or isinstance(value, bool | np.bool_)


def check_real_tensor(name: str, value: Any, must: str = "be a floating-point tensor") -> None:
    """ValueError unless `value` is a dense tensor of real numbers of 16, 32 or 64 bits."""
    if not isinstance(value, Tensor):
        raise argument_error(name, must, f"is {type(value).__name__}")
    if value.dtype not in REAL_DTYPES:
        raise argument_error(name, must, f"is {value.dtype}")
    if value.layout != torch.strided:
        raise argument_error(name, f"{must}, and dense", f"is {value.layout}")


def check_seed(name: str, seed: Any) -> int:
    """`seed` as an int that all random generators take; ValueError otherwise."""
    return check_integer(name, seed, 0, 2**32 - 1)


def check_choice(name: str, value: object, choices: Any) -> None:
    """ValueError unless the value is one of a Literal's."""
    if value not in get_args(choices):
        raise argument_error(name, f"be one of {', '.join(get_args(choices))}", f"is {value!r}")


def check_path(name: str, path: Any) -> Path:
    """`path` as a Path, the home folder for ~ at its beginning; ValueError if it is none."""
    must = "be a path"
    try:
        checked = Path(path).expanduser()
    except (RuntimeError, TypeError) as error:
        raise argument_error(name, must, f"is {path!r}: {error}") from error
    if "\0" in str(checked):
        raise argument_error(name, must, f"is {str(checked)!r}, with a null character")
    return checked


def check_distinct(name: str, values: Sequence[Any]) -> None:
    """ValueError unless there is at least one value, and none of them twice."""
    listed = list(values)
    if not listed or len(set(listed)) < len(listed):
        raise argument_error(name, "be one or more distinct values", f"is {listed}")


def check_seeds(seeds: Iterable[Any]) -> tuple[int, ...]:
    """The seeds as ints; ValueError unless there is one, none is there twice, and all can be seeds."""
    checked = tuple(check_seed("seeds", seed) for seed in seeds)
    check_distinct("seeds", checked)
    return checked


def without_transforms(tensor: Tensor) -> Tensor:
    """The numbers of a tensor within the transforms of `torch.func`, all of them."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor
