"""Weights that a training begins with, of a shared model or of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sqdr.experiment.options import ModelOptions
from sqdr.experiment.training.run_folder import RunFolder
from sqdr.model import SQDR_CNN
from sqdr.validation import argument_error


def take_weights(model: SQDR_CNN, path: Path, build: Any) -> None:
    """Give a model the weights of another one like it; a head for other classes keeps its own.

    Args:
        model (SQDR_CNN): is changed.
        path (Path): folder of a shared model, or of a run, whose last checkpoint is taken.
        build (callable): makes a model of `ModelOptions`, a number of channels and one of classes.

    Raises:
        ValueError: if there is no model, or its front end or circuit is another one.
    """
    with torch.random.fork_rng(devices=[]):  # so that what follows is drawn as without it
        source = _model_in(path, model, build)
    for name, there, here in zip(_NAMES, _architecture(source), _architecture(model), strict=True):
        if there != here:
            must = "be a model with the architecture of the one to train"
            raise argument_error("init_from", must, f"{path} has {name} {there}, not {here}")
    model.spiking.load_state_dict(source.spiking.state_dict())
    _take_what_fits(model.circuit, source.circuit)
    if _shapes(model.head) == _shapes(source.head):
        model.head.load_state_dict(source.head.state_dict())


def _model_in(path: Path, like: SQDR_CNN, build: Any) -> SQDR_CNN:
    folder = RunFolder(path)
    if (path / "config.json").is_file():
        return SQDR_CNN.from_pretrained(path, "native")
    if not folder.last.is_file():
        but = f"{path} has neither config.json nor {folder.last.relative_to(path)}"
        raise argument_error("init_from", "be the folder of a model or of a run", but)
    options: ModelOptions = folder.read_options().model
    try:
        checkpoint = torch.load(folder.last, map_location="cpu", weights_only=True)
        named = checkpoint["state_dict"].items()
        state = {n.removeprefix("model."): value for n, value in named if n.startswith("model.")}
        n_classes = [len(value) for name, value in state.items() if name.startswith("head.")]
        model: SQDR_CNN = build(options, like.in_channels, [*n_classes, like.num_class][0])
        model.load_state_dict(state)
    except Exception as error:  # torch's unpickler raises whatever it meets
        summary = str(error).partition("\n")[0].rstrip(":")
        but = f"{folder.last} does not load: {summary}"
        raise argument_error(
            "init_from", "hold a whole checkpoint for images like these", but
        ) from error
    return model


_NAMES = ("T", "in_channels", "width", "angle_scale", "circuit", "n_wires", "n_blocks", "pairs")


def _architecture(model: SQDR_CNN) -> tuple[Any, ...]:
    circuit = model.quantum
    kind = type(model.circuit).__name__ if circuit is None else "quantum"
    of_circuit = (circuit.n_wires, circuit.n_blocks, circuit.pairs) if circuit else (None,) * 3
    return model.T, model.in_channels, model.width, model.angle_scale, kind, *of_circuit


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
