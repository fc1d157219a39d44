"""Finished runs, read from their folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from sqdr.circuit import ReuploadCircuit
from sqdr.experiment.data.folder import keep_record
from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.options import RunOptions
from sqdr.experiment.training.classifier import Classifier
from sqdr.experiment.training.epochs import Row
from sqdr.experiment.training.preparation import prepare
from sqdr.experiment.training.run_folder import RunFolder
from sqdr.model import SQDR_CNN


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, read from its folder.

    Attributes:
        options (RunOptions): its configuration.
        rows (list of dict): its metrics, one for each epoch; what was not recorded is missing.
        best_epoch (int): the epoch of the weights.
        data (ImageData): its data.
        classifier (Classifier): with the weights of the best epoch, in evaluation mode.
        initial_weights (Tensor of shape (n_blocks, n_wires, 3) or None): of the circuit, in radians;
            None without a circuit, or if they were those of another model.
    """

    options: RunOptions
    rows: list[Row]
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


def read_run(path: Path, root: Path | None = None, download: bool = False) -> TrainedRun:
    """The run that `sqdr train` has written into a folder, in the precision of its training.

    Args:
        path (Path): folder of a finished run.
        root (Path or None): folder of torchvision's data sets. Default: the one of the training.
        download (bool): whether torchvision may download the data set if it is not there, whatever
            the training was allowed. Default: False.

    Raises:
        ValueError: if the folder is not that of a finished run, or its files do not fit each other.
        FileNotFoundError, ImportError: as `Run`.
    """
    folder = RunFolder(path)
    folder.check_finished()
    options, rows = folder.read_options(), folder.read_metrics()
    where = replace(options.data, root=root or options.data.root, download=download)
    data, model, _ = prepare(replace(options, data=where), initialise=False)
    keep_record(path, data.record)
    initial = None
    if model.quantum and options.init_from is None:
        initial = model.quantum.weights.detach().clone()
    classifier = Classifier(model, len(data.class_names), options)
    best_epoch = folder.load_best(classifier)
    if options.trainer.precision == "64-true":
        data.double()
    return TrainedRun(options, rows, best_epoch, data, classifier.eval(), initial)
