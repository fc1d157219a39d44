"""The model card of a saved model: Markdown with Hugging Face's YAML front matter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import jinja2
from torch import nn

from sqdr.circuit import ReuploadCircuit
from sqdr.errors import MissingPackageError
from sqdr.model import SQDR_CNN
from sqdr.noise import NoiseModel
from sqdr.pretrained.about import About
from sqdr.spiking import SpikingEncoder

try:
    import yaml
except ModuleNotFoundError as error:
    raise MissingPackageError("A model card", "share", "PyYAML") from error

_TAGS = ["quantum-machine-learning", "data-reuploading", "spiking-neural-network", "sqdr-cnn"]
#: Data sets whose images are light on a dark ground.
LIGHT_ON_DARK = (
    *("digits", "mnist", "fashion-mnist", "kmnist", "qmnist", "usps"),
    *(f"emnist-{split}" for split in ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")),
)


def model_card(model: SQDR_CNN, about: About) -> str:
    """The card as text.

    Args:
        model (SQDR_CNN): whose parameters are counted.
        about (About): with the names of the classes.
    """
    circuit = cast(ReuploadCircuit, model.quantum)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # without autoescape, which is HTML's: what comes from outside goes through `plain`
    templates.filters["plain"] = _plain
    return templates.get_template("card.md.jinja").render(
        header=yaml.safe_dump(_header(about), sort_keys=False, allow_unicode=True),
        model=model,
        about=about,
        parts=_parts(model, circuit),
        noise=(circuit.noise or NoiseModel()).in_words(),
        on_dark=", light on a dark ground" if about.data_name in LIGHT_ON_DARK else "",
    )


def _plain(text: Any) -> str:
    """Text that Markdown shows as it is, in a paragraph and in the cell of a table."""
    return re.sub(r"([\\`*_<>\[\]])", r"\\\1", str(text).replace("|", "/"))


def _header(about: About) -> dict[str, Any]:
    """What Hugging Face reads."""
    header: dict[str, Any] = {"library_name": "sqdr", "pipeline_tag": "image-classification"}
    if about.license is not None:
        header["license"] = about.license
    header["tags"] = _TAGS
    if about.data_name is not None and about.metrics:
        results = _results(about.data_name, about)
        header["model-index"] = [{"name": f"SQDR-CNN on {about.data_name}", "results": results}]
    return header


def _results(data_name: str, about: About) -> list[dict[str, Any]]:
    """Entries of Hugging Face's model-index, one for each split."""
    return [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": data_name, "type": data_name, "split": split},
            "metrics": [
                {"type": metric, "value": float(f"{value:.6g}")} for metric, value in values.items()
            ],
        }
        for split, values in about.metrics.items()
    ]


def _parts(model: SQDR_CNN, circuit: ReuploadCircuit) -> list[tuple[str, str, str]]:
    """Part, what it is, and its number of parameters."""
    what = {
        "spiking": _front_end(model),
        "circuit": f"{circuit.n_wires} wires, {circuit.n_blocks} blocks, {_family(circuit)}",
        "head": model.head_name,
        "whole model": "",
    }
    modules = {"spiking": model.spiking, "circuit": circuit, "head": model.head, "whole model": model}
    return [(name, what[name], f"{_count(module):,}") for name, module in modules.items()]


def _front_end(model: SQDR_CNN) -> str:
    spiking = cast(SpikingEncoder, model.spiking)  # others are not saved
    factor = model.in_channels * model.width
    channels = ", ".join(str(channel * factor) for channel in spiking.channels)
    neurons = {"IF": "integrate-and-fire", "LIF": "leaky integrate-and-fire"}
    neurons["PLIF"] = f"parametric {neurons['LIF']}"
    tau = "" if spiking.neuron == "IF" else f" (tau {spiking.tau:g})"
    shown = f"{len(spiking.channels)} convolutions of {channels} channels, {spiking.code} code, "
    shown += f"{neurons[spiking.neuron]} neurons{tau}, {model.T} time steps"
    return shown if spiking.surrogate == "ATan" else f"{shown}, {spiking.surrogate} gradient"


def _family(circuit: ReuploadCircuit) -> str:
    """The entanglement, and in what else the circuit is not the published one."""
    shown = []
    for name, value in circuit.family().items():
        if value is True:
            shown.append(name)
        elif name == "observables" and not isinstance(value, str):
            shown.append(f"{len(value)} observables")
        else:
            of_pairs = f"{len(circuit.pairs)} pairs of wires"
            shown.append(f"{name} {value if isinstance(value, str) else of_pairs}")
    return ", ".join(shown)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
