"""A trained model's circuits for some images as OpenQASM, with what other programs need beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import sqdr
from sqdr.ansatz import shown_word
from sqdr.experiment.evaluation import model_folder, test_images
from sqdr.experiment.options import ExportOptions
from sqdr.files import whole_folder
from sqdr.model import SQDR_CNN
from sqdr.noise import NoiseModel
from sqdr.pretrained.config import read_config
from sqdr.validation import argument_error

#: The file that says what the others are.
INDEX = "circuits.json"


def export(options: ExportOptions, images: Sequence[Path] = ()) -> Path:
    """See `sqdr.experiment.export`."""
    folder = options.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise argument_error("folder", "be new or empty", f"{folder} is not")
    config = read_config(model_folder(options.model))
    model = SQDR_CNN.from_pretrained(model_folder(options.model), "native", dtype=torch.float64)
    circuit = model.quantum
    assert circuit is not None  # saved models have one
    names: list[dict[str, Any]]
    if images:
        names = [{"image": str(file)} for file in images]
        pictures = [model.transform(file)[None] for file in images]
    else:
        test = test_images(config, options.data, options.max_images)
        names = [
            {"image": place, "of": test.name, "label": config.class_names[label]}
            for place, label in zip(test.places.tolist(), test.labels.tolist(), strict=True)
        ]
        pictures = [image[None] for image in test.images]
    noise = circuit.noise or NoiseModel()
    exact = circuit.to_backend("native", noise=None)
    programs: dict[str, str] = {}
    with torch.no_grad():
        for number, (name, picture) in enumerate(zip(names, pictures, strict=True)):
            angles = model.angles(picture).double()
            values = exact(angles)
            file = f"{number}.qasm"
            (programs[file],) = circuit.to_openqasm(angles, options.openqasm, measure=options.measure)
            name |= {
                "file": file,
                "expectation_values": values[0].tolist(),
                "class": config.class_names[int(model.head(values.float()).argmax())],
            }
    index = {
        "made_with": f"sqdr {sqdr.__version__}",
        "model": str(options.model),
        "openqasm": options.openqasm,
        "measured": options.measure,
        "n_wires": circuit.n_wires,
        "n_blocks": circuit.n_blocks,
        "observables": [shown_word(word) for word in circuit.ansatz.observables],
        "noise_left_out": noise.in_words(),
        "classes": list(config.class_names),
        "head": _plain_head(model),
        "programs": names,
    }
    with whole_folder(folder) as unfinished:
        for file, text in programs.items():
            (unfinished / file).write_text(text)
        (unfinished / INDEX).write_text(json.dumps(index, indent=1) + "\n")
        readme = _README.format(index=INDEX, measured=_MEASURED[options.measure])
        (unfinished / "README.md").write_text(readme)
    return folder


def _plain_head(model: SQDR_CNN) -> dict[str, Any] | None:
    """The linear layer that makes logits of expectation values; None where they are the logits."""
    for module in model.head.modules():
        if isinstance(module, nn.Linear):
            plain = {"weight": module.weight.tolist(), "bias": module.bias.tolist()}
            return plain | {"relu": model.head_name == "linear-relu"}
    return None


_MEASURED = {
    False: "They end before measurements: append those that the observables ask for.",
    True: "They end with a measurement of every wire in the Z basis.",
}

_README = """# Circuits of a trained model

Each `.qasm` file is the circuit of one image, in OpenQASM, with the weights of the model and without
noise. Qubit i of the register `q` is wire i. {measured}

`{index}` says which image each program is of, its expectation values as they are without noise, and
the class that they make. To make logits of measured values, multiply them by `head.weight` (classes,
observables), add `head.bias`, and if `head.relu` is true leave out what is negative; the largest logit
is the class. Without a head they are the logits.
"""
