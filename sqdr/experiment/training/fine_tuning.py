"""Weights that a training begins with, of a shared model or of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.data_names import FOLDER
from sqdr.experiment.options import ModelOptions
from sqdr.experiment.training.run_folder import RunFolder, read_checkpoint
from sqdr.model import SQDR_CNN
from sqdr.pretrained.config import read_config
from sqdr.spiking import FRONT_END
from sqdr.validation import argument_error


def take_weights(model: SQDR_CNN, path: Path, build: Any, data: ImageData) -> bool:
    """Give a model the weights of another one like it; a head for other classes keeps its own.

    Args:
        model (SQDR_CNN): is changed.
        path (Path): folder of a shared model, or of a run, whose last checkpoint is taken.
        build (callable): makes a model of `ModelOptions`, a number of channels and one of classes.
        data (ImageData): that the model is to be trained on.

    Returns:
        bool: whether the head's weights were taken too.

    Raises:
        ValueError: if there is no model, its weights are not finite, or its front end or circuit is
            another one.
    """
    with torch.random.fork_rng(devices=[]):  # so that what follows is drawn as without it
        source = _model_in(path, model, build)
    there = _architecture(source)
    for name, here in _architecture(model).items():
        if there.get(name) != here:
            must = "be a model with the architecture of the one to train"
            but = f"{path} has {name} {there.get(name)}, not {here}"
            raise argument_error("init_from", must, but)
    for name, tensor in source.state_dict().items():
        if not tensor.isfinite().all():
            but = f"{name} of {path} is not: its training has diverged"
            raise argument_error("init_from", "hold finite weights", but)
    model.spiking.load_state_dict(source.spiking.state_dict())
    _take_what_fits(model.circuit, source.circuit)
    fits = _has_classes_of(data, path) and _shapes(model.head) == _shapes(source.head)
    if fits:
        model.head.load_state_dict(source.head.state_dict())
    return fits


def _model_in(path: Path, like: SQDR_CNN, build: Any) -> SQDR_CNN:
    folder = RunFolder(path)
    if (path / "config.json").is_file():
        return SQDR_CNN.from_pretrained(path, "native")
    if not folder.last.is_file():
        but = f"{path} has neither config.json nor {folder.last.relative_to(path)}"
        raise argument_error("init_from", "be the folder of a model or of a run", but)
    options: ModelOptions = folder.read_options().model
    try:
        checkpoint = read_checkpoint(folder.last)
        named = checkpoint["state_dict"].items()
        state = {n.removeprefix("model."): value for n, value in named if n.startswith("model.")}
        n_classes = [len(value) for name, value in state.items() if name.startswith("head.")]
        model: SQDR_CNN = build(options, like.in_channels, [*n_classes, like.num_class][0])
        model.load_state_dict(state)
    except Exception as error:  # whatever a checkpoint of another kind leads to
        summary = str(error).partition("\n")[0].rstrip(":")
        but = f"{folder.last} does not load: {summary}"
        raise argument_error(
            "init_from", "hold a whole checkpoint for images like these", but
        ) from error
    return model


def _has_classes_of(data: ImageData, path: Path) -> bool:
    """Whether the model in the folder has the classes of these images, in their order."""
    for folder in (path, path / "model"):
        if (folder / "config.json").is_file():
            return read_config(folder).class_names == data.class_names
    there, here = RunFolder(path).read_options().data, data.options  # the run is not finished
    same = (there.name, tuple(there.classes)) == (here.name, tuple(here.classes))
    return same and (here.name != FOLDER or there.root == here.root)


def _architecture(model: SQDR_CNN) -> dict[str, Any]:
    circuit = model.quantum
    kind = type(model.circuit).__name__ if circuit is None else "quantum"
    of_model = ("T", "in_channels", "width", "angle_scale")
    of_front_end = {name: getattr(model, name) for name in of_model} | {"circuit": kind}
    of_front_end |= {name: getattr(model.spiking, name) for name in FRONT_END}
    return of_front_end | ({} if circuit is None else vars(circuit.ansatz))


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}


def _take_what_fits(module: nn.Module, source: nn.Module) -> None:
    """The weights of the same names; trained strengths of noise may be on one side only."""
    weights: dict[str, Tensor] = source.state_dict()
    kept = {
        name: weights[name] if name in weights and weights[name].shape == value.shape else value
        for name, value in module.state_dict().items()
    }
    module.load_state_dict(kept)
