"""Noise sweeps: models trained without and with noise, tested under noise of many strengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import torch

from sqdr.experiment import plots
from sqdr.experiment.data.folder import keep_record
from sqdr.experiment.options import NoiseOptions, NoiseSweepOptions, build_noise
from sqdr.experiment.scores import scores_of
from sqdr.experiment.studies.shared_trials import (
    DIVERGED,
    Cell,
    claim_study,
    finish_cells,
    place_of,
)
from sqdr.experiment.training.epochs import has_diverged
from sqdr.experiment.training.finished import read_run
from sqdr.experiment.training.preparation import build_model, prepare
from sqdr.experiment.training.run import Run
from sqdr.experiment.training.trainer import device_of
from sqdr.files import whole_file, write_rows

#: Name of the training channel of models that are trained without noise.
NO_NOISE = "none"

_COLUMNS = [
    "training_channel",
    "training_strength",
    "test_channel",
    "test_strength",
    "seed",
    "accuracy",
]


@dataclass(frozen=True)
class SweepFiles:
    """What a finished sweep has written: its table (CSV) and its picture (PNG).

    Attributes:
        diverged (list of str): the trainings that have diverged, and are in no mean.
    """

    table: Path
    picture: Path
    diverged: Sequence[str] = ()


class NoiseSweep:
    """A noise sweep, checked and ready: data loaded, every model built once, folder made.

    Its cells are the trainings, one for each training noise and seed, each with all its tests. The runs
    of the trainings stay under `trainings` in the folder, so that a killed test needs no new training.

    Args:
        options (NoiseSweepOptions): see there.

    Attributes:
        cells (list of Cell): one for each training.
        tests (list of (str, float)): channel and strength of each test of a cell.

    Raises:
        ValueError: if the options do not go together, or the folder belongs to something else.
        FileNotFoundError, ImportError: as `Run`.
    """

    def __init__(self, options: NoiseSweepOptions) -> None:
        self.options = options
        self._place = place_of(options)
        self.tests = list(product(options.channels, options.test_strengths))
        trainings = list(product(options.channels, filter(None, options.training_strengths)))
        if 0 in options.training_strengths:
            trainings.insert(0, (NO_NOISE, 0.0))
        self.cells: list[Cell] = [
            {"channel": name, "strength": strength, "seed": seed}
            for seed in options.seeds
            for name, strength in trainings
        ]
        device = device_of(options.training.trainer)
        data = prepare(options.training).data
        for name, strength in {*trainings, *self.tests}:
            noisy = replace(options.training.model, noise=_noise(name, strength))
            build_model(noisy, data.in_channels, len(data.class_names))
        claim_study(options, device)

    def run(self) -> SweepFiles | None:
        """Train and test what is missing, and write the table and the picture.

        Returns:
            SweepFiles or None: None if other machines have not finished their cells; the one that
                finishes last writes the files.
        """
        accuracies = finish_cells(
            self._place,
            self.cells,
            ["maximize"] * len(self.tests),
            partial(_train_and_test, self.options, self.tests),
            self.options.jobs,
        )
        if accuracies is None:
            return None
        rows = [
            dict(zip(_COLUMNS, (*training, *test, seed, _or_nan(accuracy)), strict=True))
            for (*training, seed), values in zip(map(dict.values, self.cells), accuracies, strict=True)
            for test, accuracy in zip(self.tests, values, strict=True)
        ]
        folder = self.options.folder
        diverged = [
            _name(cell)
            for cell, values in zip(self.cells, accuracies, strict=True)
            if DIVERGED in values
        ]
        files = SweepFiles(folder / "accuracy.csv", folder / "accuracy.png", diverged)
        write_rows(files.table, _COLUMNS, rows)
        with whole_file(files.picture) as unfinished:
            plots.noise_sweep(rows).savefig(unfinished)
        return files


def _or_nan(accuracy: float) -> float:
    return math.nan if accuracy == DIVERGED else accuracy


def _name(cell: Cell) -> str:
    return "{channel} of strength {strength} with seed {seed}".format(**cell)


def _noise(channel: str, strength: float) -> NoiseOptions:
    """The noise of a training or a test."""
    return NoiseOptions(after_rotation={} if channel == NO_NOISE else {channel: strength})


def _train_and_test(
    options: NoiseSweepOptions, tests: Sequence[tuple[str, float]], cell: Cell
) -> list[float]:
    """Accuracies, in [0, 1], of the cell's model in each test, or `DIVERGED`."""
    name, strength, seed = cell.values()
    model = replace(options.training.model, noise=_noise(name, strength))
    folder = options.folder / "trainings" / f"{name}-{strength}-{seed}"
    # Goes on where a killed worker was, and does nothing if only the tests are missing.
    training = replace(options.training, model=model, seed=seed, run=folder)
    training_run = Run(training, resume=True)
    keep_record(options.folder, training_run.data.record)
    training_run.train(show_progress=False)
    run = read_run(folder, options.training.data.root)
    if has_diverged(run.rows):
        return [DIVERGED] * len(tests)
    trained = run.model
    accuracies = []
    with torch.no_grad():
        # The front end has no noise, so it is evaluated once for all tests.
        batches = [(trained.angles(images), labels) for images, labels in run.data.test_dataloader()]
        angles, labels = map(torch.cat, zip(*batches, strict=True))
        for test in tests:
            noise = build_noise(_noise(*test))
            tested = trained.to_backend(model.backend, noise=noise)
            accuracies.append(scores_of(tested.head(tested.circuit(angles)), labels).accuracy)
    return accuracies
