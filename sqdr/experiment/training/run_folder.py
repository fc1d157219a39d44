"""The folder of a training run: its files, their columns, its lock, and how they are read."""

from __future__ import annotations

import csv
import shutil
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from matplotlib.figure import Figure

from sqdr.experiment.folders import check_folder, write_configuration
from sqdr.experiment.option_names import NOT_OF_RESULT, as_configuration, parse_run_options
from sqdr.experiment.options import RunOptions
from sqdr.experiment.provenance import keep_provenance
from sqdr.experiment.training.classifier import STAGES, Classifier
from sqdr.experiment.training.epochs import Row, has_ended
from sqdr.experiment.training.monitoring import PARTS, gradient_norm_name
from sqdr.files import UNFINISHED, whole_file, write_rows
from sqdr.validation import argument_error

#: What every run records of an epoch, with the number of the epoch.
_METRICS = [f"{stage}_{metric}" for stage in STAGES[:2] for metric in ("loss", "accuracy")]
#: Of metrics.csv; a part without a gradient has an empty norm.
_COLUMNS = ["epoch", *_METRICS, *map(gradient_norm_name, PARTS)]
_LOCK = "run.lock"
#: Seconds; longer than somebody takes who looks whether a process trains here.
_LOOK = 0.5
#: Of options that are younger than a run to resume.
_DEFAULTS = as_configuration(RunOptions())


class RunFolder:
    """The folder of a training run.

    Its files are written in this order: config.yaml; images.json, of one's own images; after each
    epoch metrics.csv, checkpoints/best.ckpt and checkpoints/last.ckpt; at the end the pictures, the
    folder `model`, and test.csv, which says that the run is finished.

    Args:
        path (Path): of the folder, which is left alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.csv"
        self.best = path / "checkpoints" / "best.ckpt"
        self.last = path / "checkpoints" / "last.ckpt"
        self.model = path / "model"
        self.test = path / "test.csv"
        self._lock = FileLock(path / _LOCK)

    def check(self, configuration: Mapping[str, Any], resume: bool) -> None:
        """Accept a new or empty folder, or with `resume` one of this configuration.

        Raises:
            ValueError: if it is another one.
        """
        if resume:
            check_folder(
                "run", self.path, configuration, own={_LOCK}, ignored=NOT_OF_RESULT, defaults=_DEFAULTS
            )
        elif self.path.exists() and not self._is_empty():
            raise argument_error("run", "be a new or empty folder", f"{self.path} is not")

    def claim(self, configuration: Mapping[str, Any], resume: bool, device: torch.device) -> None:
        """Make the folder that of a run of this process, without what a killed one was writing.

        Raises:
            ValueError: if another process trains in it, or as `check`.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=_LOOK)
        except Timeout:
            but = f"another process trains in {self.path}"
            raise argument_error("run", "not be in use", but) from None
        self.check(configuration, resume)  # another process may have been here meanwhile
        for unfinished in list(self.path.rglob(f"{UNFINISHED}*")):
            if unfinished.is_dir():
                shutil.rmtree(unfinished)
            else:
                unfinished.unlink()
        if not self.config.exists():
            write_configuration(self.path, configuration)
        keep_provenance(self.path, device, torch.get_num_threads())

    def release(self) -> None:
        """Let other processes have the folder, if this one has it."""
        self._lock.release()

    def is_in_use(self) -> bool:
        """Whether a process trains in it now."""
        if not (self.path / _LOCK).exists():
            return False
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return True
        self._lock.release()
        return False

    def check_finished(self) -> None:
        """Accept the folder of a finished run; ValueError for another."""
        for file in (self.config, self.metrics, self.best):
            if not file.is_file():
                but = f"{self.path} has no {file.relative_to(self.path)}"
                raise argument_error("run", "be the folder of a finished run", but)
        options, rows = self.read_options(), self.read_metrics()
        if not has_ended(rows, options):
            but = f"{self.path} has {len(rows)} of {options.epochs} epochs"
            raise argument_error("run", "be the folder of a finished run", but)

    def read_options(self) -> RunOptions:
        """The configuration of the run; ValueError if it is damaged."""
        try:
            return parse_run_options(self.config.read_text())
        except (ArgumentError, ValueError) as error:
            raise argument_error(
                "run", "hold the configuration of a run", f"{self.config} does not: {error}"
            ) from error

    def write_metrics(self, rows: Sequence[Row]) -> None:
        """Write the metrics of all epochs so far."""
        write_rows(self.metrics, _COLUMNS, rows)

    def read_metrics(self) -> list[Row]:
        """The metrics of each epoch, without what was not recorded; ValueError if they are damaged."""
        with self.metrics.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        must = "hold metrics of every epoch, in numbers"
        try:
            read = [{name: float(value) for name, value in row.items() if value} for row in rows]
        except (TypeError, ValueError) as error:
            raise argument_error("run", must, f"{self.metrics} does not: {error}") from error
        for name in ("epoch", *_METRICS):
            if any(name not in row for row in read):
                raise argument_error("run", must, f"{self.metrics} lacks {name}")
        return read

    def write_test(self, row: Mapping[str, float]) -> None:
        """Write the metrics of the test, after which the run is finished."""
        write_rows(self.test, list(row), [row])

    def read_accuracy(self) -> float | None:
        """Accuracy on the test images, in [0, 1]; None if the run is not finished.

        Raises:
            ValueError: if test.csv is damaged.
        """
        if not self.test.exists():
            return None
        try:
            with self.test.open(newline="") as stream:
                return float(next(csv.DictReader(stream))["test_accuracy"])
        except (StopIteration, KeyError, TypeError, ValueError, csv.Error) as error:
            raise argument_error(
                "run", "hold a whole test.csv or none", f"{self.test} has no accuracy"
            ) from error

    def write_picture(self, name: str, figure: Figure) -> None:
        """Write a picture as a PNG file of this name."""
        with whole_file(self.path / name) as unfinished:
            figure.savefig(unfinished)

    def load_best(self, classifier: Classifier) -> int:
        """Give a classifier the weights and random generators of the best epoch.

        Returns:
            int: that epoch, counted from 0.

        Raises:
            ValueError: if the checkpoint is damaged, or of another model.
        """
        return int(_load(classifier, self.best)["epoch"])

    def load_last(self, classifier: Classifier) -> int:
        """Likewise for the last checkpoint.

        Returns:
            int: the number of epochs that are finished.

        Raises:
            ValueError: if the checkpoint is damaged, or of another model.
        """
        return len(_load(classifier, self.last)["callbacks"]["RunFiles"]["rows"])

    def _is_empty(self) -> bool:
        """Whether it is a folder without files, but for the lock of a run that could not start."""
        return self.path.is_dir() and all(path.name == _LOCK for path in self.path.iterdir())


def new_folder(path: Path) -> Path:
    """Make a new folder of this name, with "-2", "-3", ... behind it where another run was first."""
    made, number = path, 1
    while True:
        try:
            made.mkdir(parents=True)
        except FileExistsError:
            number += 1
            made = path.with_name(f"{path.name}-{number}")
        else:
            return made


def read_checkpoint(file: Path) -> dict[str, Any]:
    """A checkpoint on the CPU, of which nothing is executed; ValueError if it is none.

    Torch's reader raises whatever it meets, and explains at length how to trust a file.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception:
        raise ValueError("it is no checkpoint, or damaged") from None
    return checkpoint


def _load(classifier: Classifier, file: Path) -> dict[str, Any]:
    try:
        checkpoint = read_checkpoint(file)
        classifier.load_state_dict(checkpoint["state_dict"])
        classifier.on_load_checkpoint(checkpoint)
    except Exception as error:  # whatever a checkpoint of another kind leads to
        must = "hold a whole checkpoint that fits its configuration"
        summary = str(error).partition("\n")[0].rstrip(":")
        raise argument_error("run", must, f"{file} does not load: {summary}") from error
    return checkpoint
