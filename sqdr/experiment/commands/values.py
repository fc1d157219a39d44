"""Values on the command line: how people write each kind of them, and what to say where they do not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin


class Kind(NamedTuple):
    """A kind of values.

    Attributes:
        place: what stands for a value in help, "N" for instance.
        must: what a value must be, for messages.
        example: a value.
        as_yaml: makes YAML of what people write, and leaves alone what is YAML already.
    """

    place: str
    must: str
    example: str
    as_yaml: Callable[[str], str] = str


def kind_of(name: str, type_: Any) -> Kind:
    """The kind of the values of an option.

    Args:
        name (str): of the option, such as "model.n_wires".
        type_ (type): that its dataclass states.
    """
    choices = _choices(type_)
    kinds = [_of_one_type(name, choice) for choice in choices]
    if float in choices:  # a single number is no list there
        kinds = [k._replace(as_yaml=_numbers) if k is _LISTS[float] else k for k in kinds]
    kind = Kind(
        "|".join(dict.fromkeys(kind.place for kind in kinds)),
        " or ".join(kind.must for kind in kinds),
        kinds[0].example if choices[0] is float else kinds[-1].example,
        kinds[0].as_yaml if len(kinds) == 1 else partial(_first_that_reads, kinds),
    )
    if NoneType not in get_args(type_):
        return kind
    return kind._replace(
        must=f"{kind.must} or null",
        as_yaml=lambda text: "null" if text.lower() == "none" else kind.as_yaml(text),
    )


def _first_that_reads(kinds: Sequence[Kind], text: str) -> str:
    """YAML by the first kind that changes the text."""
    return next((changed for kind in kinds if (changed := kind.as_yaml(text)) != text), text)


def shown(value: Any) -> str:
    """A value in short, as it may be written: 0.1 or 0,1,2."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ",".join(map(shown, value))
    return str(value)


def _choices(type_: Any) -> list[Any]:
    """The types that a union allows, but for None and for lists of mappings, which are rare."""
    if get_origin(type_) not in (Union, UnionType):
        return [type_]
    choices = [choice for choice in get_args(type_) if choice is not NoneType]
    lists_of_mappings = [c for c in choices if get_origin(next(iter(get_args(c)), None)) is Mapping]
    return [choice for choice in choices if choice not in lists_of_mappings]


def _of_one_type(name: str, type_: Any) -> Kind:
    match get_origin(type_) or type_, get_args(type_):
        case builtins, () if builtins in _SIMPLE:
            return _SIMPLE[builtins]
        case origin, choices if origin is Literal:
            place = "|".join(choices)
            is_short = len(place) <= _LONGEST_PLACE
            return Kind(place if is_short else "NAME", f"be {_either(choices)}", choices[0])
        case origin, _ if origin is Mapping:
            example = _EXAMPLES.get(name.rpartition(".")[2], "{name:value}")
            return Kind("{NAME:VALUE,...}", "be names and values", example, _mapping)
        case origin, (first, *_) if first is float and origin is tuple:
            return Kind("X,X", "be two numbers", "0,6.28", _list)
        case origin, (first, *_) if first in _LISTS and origin is Sequence:
            return _LISTS[first]
        case origin, (first, *_) if origin is Sequence and get_origin(first) is tuple:
            return Kind("I-J,...", "be pairs of wires", "0-1,1-2", _pairs)
    return Kind("VALUE,...", "be a list", _EXAMPLES.get(name, "saved,none"), _list)


def _either(choices: Sequence[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def _spaced(text: str) -> str:
    """{a:1} -> {a: 1}, since YAML takes the former for a name without a value."""
    return re.sub(r":(?=[^\s/\\])", ": ", text) if text[:1] in ("{", "[") else text


def _mapping(text: str) -> str:
    """BitFlip:0.1 -> {BitFlip: 0.1}"""
    is_bare = re.match(r"[A-Za-z_][\w.]*:", text)
    return _spaced(f"{{{text}}}" if is_bare else text)


def _list(text: str) -> str:
    """a,b -> [a, b]"""
    return _spaced(text if text.startswith("[") else f"[{text}]")


def _numbers(text: str) -> str:
    """0,0.1 -> [0, 0.1]; a single number stays one."""
    return _list(text) if "," in text else text


def _integers(text: str) -> str:
    """0-2,5 -> [0, 1, 2, 5]"""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text.replace(" ", "")):
        return _list(text)
    numbers: list[str] = []
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if last and not int(first) <= int(last) <= int(first) + _LONGEST_RANGE:
            return _list(text)
        numbers += map(str, range(int(first), int(last or first) + 1))
    return f"[{', '.join(numbers)}]"


#: No one means a longer one.
_LONGEST_RANGE = 100_000


def _pairs(text: str) -> str:
    """0-1,1-2 -> [[0, 1], [1, 2]]"""
    if not re.fullmatch(r"\d+-\d+(,\d+-\d+)*", text):
        return text
    pairs = [pair.replace("-", ", ") for pair in text.split(",")]
    return f"[[{'], ['.join(pairs)}]]"


#: Characters of the place of a value that still fit beside the name of an option.
_LONGEST_PLACE = 50
_SIMPLE: dict[Any, Kind] = {
    bool: Kind("true|false", "be true or false", "true"),
    int: Kind("N", "be an integer", "8"),
    float: Kind("X", "be a number", "0.1"),
    str: Kind("NAME", "be a name", "native"),
    Path: Kind("PATH", "be a path", "runs/mine"),
}
_LISTS: dict[Any, Kind] = {
    int: Kind("N,...", "be integers", "0,3-5", _integers),
    float: Kind("X,...", "be numbers", "0,0.1", _list),
    str: Kind("NAME,...", "be names", "native,pennylane", _list),
}
#: By the last part of an option's name.
_EXAMPLES = {
    "after_rotation": "{BitFlip:0.1}",
    "after_entangler": "{PhaseFlip:0.02}",
    "preset_options": "{t1:80,t2:60}",
    "space": "{learning_rate:[0.01,0.1]}",
    "options": "{chunk_size:8}",
    "optimizer_options": "{betas:[0.9,0.99]}",
}
