"""Finished runs, read from their folders."""

from __future__ import annotations

import csv
from argparse import ArgumentError
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from sqdr.circuit import ReuploadCircuit
from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.options import RunOptions, parse_run_options
from sqdr.experiment.training.run import Classifier, load_checkpoint, prepare
from sqdr.model import SQDR_CNN
from sqdr.validation import argument_error


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, read from its folder.

    Attributes:
        options (RunOptions): its configuration.
        rows (list of dict): its metrics, one for each epoch; what was not recorded is missing.
        best_epoch (int): the epoch of the weights.
        data (ImageData): its data.
        classifier (Classifier): with the weights of the best epoch, in evaluation mode.
        initial_weights (Tensor of shape (n_blocks, n_wires, 3) or None): of the circuit, in radians.
    """

    options: RunOptions
    rows: list[dict[str, float]]
    best_epoch: int
    data: ImageData
    classifier: Classifier
    initial_weights: Tensor | None

    @property
    def model(self) -> SQDR_CNN:
        return self.classifier.model

    @property
    def circuit(self) -> ReuploadCircuit | None:
        """The quantum circuit; None for a twin without one."""
        return self.model.quantum


def read_run(folder: Path, root: Path | None = None, download: bool = False) -> TrainedRun:
    """The run that `sqdr train` has written into a folder, in the precision of its training.

    Args:
        folder (Path): of a finished run.
        root (Path or None): folder of torchvision's data sets. Default: the one of the training.
        download (bool): whether torchvision may download the data set if it is not there, whatever
            the training was allowed. Default: False.

    Raises:
        ValueError: if the folder is not that of a finished run, or its files do not fit each other.
        FileNotFoundError, ImportError: as `Run`.
    """
    files = [folder / name for name in ("config.yaml", "metrics.csv", "checkpoints/best.ckpt")]
    for file in files:
        if not file.is_file():
            but = f"{folder} has no {file.relative_to(folder)}"
            raise argument_error("run", "be the folder of a finished run", but)
    config, metrics, checkpoint = files
    options = _read_options(config)
    rows = _read_metrics(metrics)
    if len(rows) < options.epochs:
        but = f"{folder} has {len(rows)} of {options.epochs} epochs"
        raise argument_error("run", "be the folder of a finished run", but)
    where = replace(options.data, root=root or options.data.root, download=download)
    data, model = prepare(replace(options, data=where))
    initial = model.quantum.weights.detach().clone() if model.quantum else None
    classifier = Classifier(model, len(data.class_names), options)
    best_epoch = load_checkpoint(classifier, checkpoint)
    if options.trainer.precision == "64-true":
        data.double()
    return TrainedRun(options, rows, best_epoch, data, classifier.eval(), initial)


def _read_options(file: Path) -> RunOptions:
    try:
        return parse_run_options(file.read_text())
    except (ArgumentError, ValueError) as error:
        raise argument_error(
            "run", "hold the configuration of a run", f"{file} does not: {error}"
        ) from error


def _read_metrics(file: Path) -> list[dict[str, float]]:
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    must = "hold metrics of every epoch, in numbers"
    try:
        read = [{name: float(value) for name, value in row.items() if value} for row in rows]
    except (TypeError, ValueError) as error:
        raise argument_error("run", must, f"{file} does not: {error}") from error
    for name in ("epoch", *_METRICS):
        if any(name not in row for row in read):
            raise argument_error("run", must, f"{file} lacks {name}")
    return read


#: What every run has recorded.
_METRICS = [
    f"{stage}_{metric}" for stage in ("training", "validation") for metric in ("loss", "accuracy")
]
