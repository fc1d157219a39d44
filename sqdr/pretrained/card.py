"""The model card of a saved model: Markdown with Hugging Face's YAML front matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from torch import nn

from sqdr.circuit import ReuploadCircuit
from sqdr.errors import MissingPackageError
from sqdr.model import SQDR_CNN
from sqdr.noise import NoiseModel
from sqdr.validation import argument_error, check_number

try:
    import yaml
except ModuleNotFoundError as error:
    raise MissingPackageError("A model card", "train", "PyYAML") from error

_TAGS = ["quantum-machine-learning", "data-reuploading", "spiking-neural-network", "sqdr-cnn"]
_LIGHT_ON_DARK = ("digits", "mnist", "fashion-mnist", "kmnist")

_CARD = """\
---
{header}---

# SQDR-CNN{on_data}

A hybrid spiking-quantum image classifier: a spiking convolutional network turns an image into angles,
and a quantum data re-uploading circuit turns these into expectation values
([arXiv 2512.03895](https://arxiv.org/abs/2512.03895)). Made with the Python library sqdr.

## How to use it

```python
import sqdr

model = sqdr.SQDR_CNN.from_pretrained("path/of/this/folder")
logits = model(images)  # (batch, {in_channels}, {height}, {width}) in [0, 1] -> (batch, {n_outputs})
```

On the command line, `sqdr predict --model path/of/this/folder image.png`. The circuit runs on the
backend `{backend}`, or on any other with `from_pretrained(folder, backend=...)`. Nothing in the folder
is executed.

## Architecture

{parts}

Noise of the circuit: {noise}. Angles, in radians, are {angle_scale} times the firing rates.

## Data

Trained on {data}, in images of {pixels} pixels in [0, 1]{on_dark}.
Classes, in the order of the outputs: {class_names}.

## Training

{training}

## Metrics

{metrics}

## Limits

- Every image is given one of the classes above, whatever it shows.
- Probabilities are the softmax of the logits and have not been calibrated.
- Images should look like those of the training{on_dark}. `sqdr predict`
  adapts channels and size (bilinear, with antialiasing), and inverts with `--invert true`.
- The metrics were measured with the circuit, noise and backend named above. They say nothing about
  others, or about quantum hardware.

Licence: {licence}.
"""


def model_card(
    model: SQDR_CNN,
    *,
    class_names: Sequence[str],
    image_size: int | None,
    data_name: str | None,
    metrics: Mapping[str, Mapping[str, float]],
    training: Mapping[str, str | float],
    license: str | None,
) -> str:
    """The card as text.

    Args:
        model (SQDR_CNN): whose parameters are counted.
        class_names (sequence of str): one for each output.
        image_size (int or None): height and width of the images; None for any.
        data_name (str or None): data set that the model was trained on.
        metrics (mapping of mappings): split -> metric -> value.
        training (mapping): how the model was trained, one row of a table each.
        license (str or None): its identifier.

    Raises:
        ValueError: if a metric is no finite number, or a text is not one printable line.
    """
    circuit = cast(ReuploadCircuit, model.quantum)
    for split, values in metrics.items():
        for metric, value in values.items():
            _line("metrics", split)
            check_number(_line("metrics", metric), value)
    for name, entry in training.items():
        _line("training", name)
        _line("training", str(entry))
    header: dict[str, Any] = {"library_name": "sqdr", "pipeline_tag": "image-classification"}
    if license is not None:
        header["license"] = _line("license", license)
    header["tags"] = _TAGS
    if data_name is not None and metrics:
        header["model-index"] = [
            {"name": f"SQDR-CNN on {data_name}", "results": _results(data_name, metrics)}
        ]
    measured = [(s, m, f"{value:.4g}") for s, values in metrics.items() for m, value in values.items()]
    return _CARD.format(
        header=yaml.safe_dump(header, sort_keys=False, allow_unicode=True),
        on_data=f" on {data_name}" if data_name else "",
        in_channels=model.in_channels,
        height=image_size or "height",
        width=image_size or "width",
        n_outputs=len(class_names),
        backend=model.backend,
        parts=_table(("part", "what it is", "parameters"), _parts(model)),
        noise=(circuit.noise or NoiseModel()).in_words(),
        angle_scale=f"{model.angle_scale:.6g}",
        pixels=f"{image_size} x {image_size}" if image_size else "at least 8 x 8",
        on_dark=", light on a dark ground" if data_name in _LIGHT_ON_DARK else "",
        class_names=", ".join(class_names),
        data=data_name or "a data set that was not named",
        training=_table(("setting", "value"), training.items()) if training else "Not described.",
        metrics=_table(("split", "metric", "value"), measured) if measured else "None were given.",
        licence=license or "none has been stated",
    )


def _results(data_name: str, metrics: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Entries of Hugging Face's model-index, one for each split."""
    return [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": data_name, "type": data_name, "split": split},
            "metrics": [
                {"type": metric, "value": float(f"{value:.6g}")} for metric, value in values.items()
            ],
        }
        for split, values in metrics.items()
    ]


def _parts(model: SQDR_CNN) -> list[tuple[str, str, str]]:
    first = 2 * model.in_channels * model.width
    widths = f"{model.in_channels}, {first}, {2 * first} and {4 * first} channels"
    circuit = cast(ReuploadCircuit, model.quantum)
    named = isinstance(circuit.entanglement, str)
    entanglement = circuit.entanglement if named else f"{len(circuit.pairs)} pairs of wires"
    what = {
        "spiking": f"3 convolutions between {widths}, integrate-and-fire neurons, {model.T} time steps",
        "circuit": f"{circuit.n_wires} wires, {circuit.n_blocks} blocks, entanglement {entanglement}",
        "head": model.head_name,
        "whole model": "",
    }
    modules = {"spiking": model.spiking, "circuit": model.circuit, "head": model.head}
    counts = {name: _count(module) for name, module in modules.items()}
    counts["whole model"] = _count(model)
    return [(name, what[name], f"{count:,}") for name, count in counts.items()]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _table(head: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(c).replace('|', '/') for c in line)} |" for line in lines)


def _line(argument: str, text: str) -> str:
    if not isinstance(text, str) or not text or not text.isprintable():
        raise argument_error(argument, "hold printable texts of one line", f"holds {text!r}")
    return text
