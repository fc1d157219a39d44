"""The file config.json of a pretrained model: written, read, and checked key by key."""

from __future__ import annotations

import json
import reprlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqdr.ansatz import FAMILY, Ansatz
from sqdr.bounds import MAX_ARGUMENTS, MAX_IMAGE_SIZE
from sqdr.model import SQDR_CNN
from sqdr.noise import NoiseModel
from sqdr.pretrained.about import About
from sqdr.spiking import FRONT_END, SpikingEncoder, checked_front_end, smallest_image
from sqdr.validation import argument_error

CONFIG = "config.json"
MODEL_TYPE = "sqdr-cnn"
FORMAT_VERSION = 1

#: Pairs of wires, and observables.
_MAX_ENTRIES = 10_000
_MAX_BYTES = 2**20


@dataclass(frozen=True)
class PretrainedConfig:
    """What config.json says.

    Args:
        arguments (dict): those of `SQDR_CNN`.
        ansatz (Ansatz): the member of the family of circuits that they describe.
        class_names, image_size, data_name, data_classes, data_split_seed: as in `About`; class_names
            are complete.
    """

    arguments: dict[str, Any]
    ansatz: Ansatz
    class_names: list[str]
    image_size: int | None
    data_name: str | None
    data_classes: list[int]
    data_split_seed: int | None = None

    @property
    def about(self) -> About:
        """What the folder says of the model; metrics and the like are in its card alone."""
        return About(
            class_names=self.class_names,
            image_size=self.image_size,
            data_name=self.data_name,
            data_classes=self.data_classes,
            data_split_seed=self.data_split_seed,
        )


def to_json(model: SQDR_CNN, about: About) -> str:
    """The text of config.json, not checked."""
    from sqdr._version import __version__

    data: dict[str, Any] = {"name": about.data_name, "classes": list(about.data_classes)}
    if about.data_split_seed is not None:
        data["split_seed"] = about.data_split_seed
    content = {
        "model_type": MODEL_TYPE,
        "format_version": FORMAT_VERSION,
        "sqdr_version": __version__,
        "arguments": _arguments(model),
        "class_names": None if about.class_names is None else list(about.class_names),
        "image_size": about.image_size,
        "data": data,
    }
    return json.dumps(content, indent=2) + "\n"


def read_config(folder: Path) -> PretrainedConfig:
    """The configuration of a folder that `save` wrote.

    Raises:
        FileNotFoundError: if the folder or its configuration is missing.
        ValueError: if it is broken, foreign or of a newer format; the message names file and key.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; nothing is downloaded.")
    file = existing(folder / CONFIG)
    with naming(file):
        return from_json(_start_of(file))


def is_ours(file: Path) -> bool:
    """Whether a file is a configuration that `to_json` wrote, of whatever version."""
    try:
        return bool(_decoded(_start_of(file))["model_type"] == MODEL_TYPE)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def existing(file: Path) -> Path:
    """`file`, if it is one; FileNotFoundError otherwise."""
    if not file.is_file():  # a device or pipe could be read for ever
        raise FileNotFoundError(f"{file} is missing, or no regular file.")
    return file


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Errors about the content of a file begin with its name, and have a bounded length."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{file}: {str(error)[:400]}") from error


def _arguments(model: SQDR_CNN) -> dict[str, Any]:
    """The constructor's arguments, as JSON."""
    circuit = model.quantum
    if circuit is None:
        raise argument_error("circuit", "be a ReuploadCircuit", f"is a {type(model.circuit).__name__}")
    spiking = model.spiking
    if type(spiking) is not SpikingEncoder:
        must = "be a SpikingEncoder to be saved"
        raise argument_error("spiking", must, f"is a {type(spiking).__name__}")
    if not isinstance(model.backend, str):
        must = f"have a name, under which {CONFIG} holds it (entry points, group sqdr.backends)"
        raise argument_error("backend", must, f"is the class {type(circuit).__name__}")
    names: dict[int, str] = {}
    for name, parameter in circuit.named_parameters(remove_duplicate=False):
        if id(parameter) in names:
            but = f"shares that of {names[id(parameter)]}"
            raise argument_error(name, "have a Parameter of its own to be saved", but)
        names[id(parameter)] = name
    return {
        "T": model.T,
        "in_channels": model.in_channels,
        "num_class": model.num_class,
        "n_wires": circuit.n_wires,
        "qdr_block": circuit.n_blocks,
        "init_mode": circuit.init_mode,
        "init_range": circuit.init_range,
        "backend": model.backend,
        "noise": circuit.noise.to_dict() if circuit.noise else None,
        **circuit.family(),
        "width": model.width,
        **spiking.front_end(),
        "angle_scale": model.angle_scale,
        "head": model.head_name,
    }


def _start_of(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_MAX_BYTES + 1)


def _decoded(text: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"it holds {constant}, which is not JSON")

    if len(text) > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def from_json(text: bytes) -> PretrainedConfig:
    """The checked content of config.json.

    Raises:
        ValueError: if a key is missing, unknown, or of a wrong type or size.
    """
    content = _decoded(text)
    if not isinstance(content, dict) or content.get("model_type") != MODEL_TYPE:
        raise argument_error("model_type", f'be "{MODEL_TYPE}"', "is not: this is no model of sqdr")
    if content.get("unfinished"):
        raise ValueError("it is of a model whose saving was interrupted; save the model again")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        by = content.get("sqdr_version")
        raise argument_error(
            "format_version", f"be {FORMAT_VERSION}", f"is {version!r}, by sqdr {by!r}"
        )
    keys = ("model_type", "format_version", "sqdr_version", "arguments", "class_names", "image_size")
    _check_keys("config", content, (*keys, "data"))
    _text("sqdr_version", content["sqdr_version"])
    arguments, ansatz = _parsed_arguments(content["arguments"])
    n_outputs = ansatz.n_outputs if arguments["head"] == "none" else arguments["num_class"]
    names = content["class_names"]
    names = map(str, range(n_outputs)) if names is None else _list("class_names", names, n_outputs)
    size = content["image_size"]
    if size is not None:
        least = smallest_image(arguments.get("channels", FRONT_END["channels"]))
        size = _integer("image_size", size, MAX_IMAGE_SIZE, least=least)
    data = content["data"]
    _check_keys("data", data, ("name", "classes"), optional=("split_seed",))
    split_seed = data.get("split_seed")
    classes = _list("data.classes", data["classes"], n_outputs) if data["classes"] != [] else []
    return PretrainedConfig(
        arguments,
        ansatz,
        [_text("class_names", name) for name in names],
        size,
        None if data["name"] is None else _text("data.name", data["name"]),
        [_integer("data.classes", label, 1_000_000, least=0) for label in classes],
        None if split_seed is None else _integer("data.split_seed", split_seed, 2**32 - 1, least=0),
    )


def _parsed_arguments(arguments: Any) -> tuple[dict[str, Any], Ansatz]:
    """The arguments of `SQDR_CNN`, and the member of the family that they describe."""
    others = ("init_mode", "init_range", "backend", "noise", "entanglement", "angle_scale", "head")
    _check_keys("arguments", arguments, (*MAX_ARGUMENTS, *others), optional=(*FAMILY, *FRONT_END))
    for name, largest in MAX_ARGUMENTS.items():
        _integer(name, arguments[name], largest)
    _choice("init_mode", arguments["init_mode"], ("normal", "uniform"))
    low, high = (_number("init_range", b) for b in _list("init_range", arguments["init_range"], 2))
    if low >= high:
        raise argument_error("init_range", "have its lower bound first", f"is {[low, high]}")
    _text("backend", arguments["backend"])
    noise = arguments["noise"]
    ansatz = _parsed_ansatz(arguments)
    _number("angle_scale", arguments["angle_scale"])
    checked_front_end({name: arguments.get(name, default) for name, default in FRONT_END.items()})
    _choice("head", arguments["head"], ("linear-relu", "linear", "none"))
    if noise is not None:
        _check_keys("noise", noise, ("after_rotation", "after_entangler", "readout_error"))
        noise = NoiseModel.from_dict(noise)
    return {**arguments, "noise": noise}, ansatz


def _parsed_ansatz(arguments: Mapping[str, Any]) -> Ansatz:
    """The member of the family; what is long is refused before it is looked at."""
    for name in ("encoding", "rotation"):
        _text(name, arguments.get(name, FAMILY[name]))
    for name in ("entanglement", "observables"):
        value = arguments.get(name, FAMILY[name])
        if isinstance(value, str):
            _text(name, value)
        elif len(_list(name, value)) > _MAX_ENTRIES:
            raise argument_error(name, f"have at most {_MAX_ENTRIES:,} entries", "has more")
    family = {name: arguments[name] for name in FAMILY if name in arguments}
    return Ansatz.chosen(arguments["n_wires"], arguments["qdr_block"], **family)


def _check_keys(name: str, value: Any, keys: Sequence[str], optional: Sequence[str] = ()) -> None:
    must = f"hold {', '.join(keys)} and nothing else"
    if not isinstance(value, dict):
        raise argument_error(name, must, f"is {reprlib.repr(value)}")
    for key in keys:
        if key not in value:
            raise argument_error(name, must, f"lacks {key}")
    for key in value:
        if key not in keys and key not in optional:
            raise argument_error(name, must, f"holds {reprlib.repr(key)}")


def _integer(name: str, value: Any, largest: int, least: int = 1) -> int:
    if type(value) is not int or not least <= value <= largest:
        must = f"be an integer from {least} to {largest:,}"
        raise argument_error(name, must, f"is {reprlib.repr(value)}")
    return value


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise argument_error(name, "be a finite number", f"is {reprlib.repr(value)}")
    return float(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 200:
        must = "be a printable text of 1 to 200 characters"
        raise argument_error(name, must, f"is {reprlib.repr(value)}")
    return value


def _choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise argument_error(name, f"be one of {', '.join(choices)}", f"is {reprlib.repr(value)}")


def _list(name: str, value: Any, length: int | None = None) -> list[Any]:
    must = "be a list" if length is None else f"be a list of {length:,} entries"
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise argument_error(name, must, f"is {reprlib.repr(value)}")
    return value
