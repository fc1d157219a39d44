"""Comparisons: variants of a training over seeds, such as the model and its twins."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from sqdr.experiment import plots, tables
from sqdr.experiment.data.folder import keep_record
from sqdr.experiment.intervals import MIN_FOR_INTERVAL, mean_and_interval
from sqdr.experiment.options import ComparisonOptions, RunOptions
from sqdr.experiment.studies.places import Place, StudyFolder
from sqdr.experiment.studies.shared_trials import (
    DIVERGED,
    Cell,
    claim_study,
    finish_cells,
    place_of,
)
from sqdr.experiment.training.preparation import count_parameters, prepare
from sqdr.experiment.training.run import Run
from sqdr.experiment.training.trainer import device_of
from sqdr.files import whole_file, write_rows

#: Of runs.csv; the accuracy of a training that has diverged is NaN.
_RUN_COLUMNS = ["variant", "seed", "parameters", "accuracy", "seconds"]
_COLUMNS = [
    "variant",
    "parameters",
    "accuracy",
    "standard_deviation",
    "half_width",
    "difference",
    "difference_half_width",
    "seconds",
    "trainings",
    "diverged",
]


class Trainings:
    """Trainings of several variants over seeds, checked and ready: data loaded, every model built once.

    Args:
        folder (Path): where the runs stay, under `trainings`.
        variants (mapping of str to RunOptions): how each is trained.
        seeds (sequence of int): each gives one training of each variant.
        jobs (int or None): processes, of one thread each; None, the default, stands for all cores.
        place (Place or None): where it is kept what has been done. Default: None, the folder.

    Attributes:
        cells (list of Cell): one for each variant and seed.

    Raises:
        ValueError: if options do not go together.
        FileNotFoundError, ImportError: as `Run`.
    """

    def __init__(
        self,
        folder: Path,
        variants: Mapping[str, RunOptions],
        seeds: Sequence[int],
        jobs: int | None = None,
        place: Place | None = None,
    ) -> None:
        self.cells: list[Cell] = [
            {"variant": variant, "seed": seed} for seed in seeds for variant in variants
        ]
        self._folder, self._variants, self._jobs = folder, variants, jobs
        self._place = place or StudyFolder(folder)
        self._n_parameters = {
            variant: count_parameters(prepare(training).model) for variant, training in variants.items()
        }

    def run(self) -> list[dict[str, Any]] | None:
        """Train and test what is missing.

        Returns:
            list or None: for each cell "variant", "seed", trainable "parameters", "accuracy" in [0, 1]
                (NaN if it has diverged) and "seconds"; None if other machines are still at work.
        """
        results = finish_cells(
            self._place,
            self.cells,
            ["maximize", "minimize"],
            partial(_train_and_test, self._folder, self._variants),
            self._jobs,
        )
        if results is None:
            return None
        return [
            {**cell, "parameters": self._n_parameters[str(cell["variant"])]}
            | {"accuracy": math.nan if accuracy == DIVERGED else accuracy, "seconds": round(seconds, 1)}
            for cell, (accuracy, seconds) in zip(self.cells, results, strict=True)
        ]


def training_folder(folder: Path, variant: str, seed: int) -> Path:
    """Where the run of a variant and seed stays."""
    return folder / "trainings" / f"{variant.replace(' ', '-')}-{seed}"


def _train_and_test(
    folder: Path, variants: Mapping[str, RunOptions], cell: Cell
) -> tuple[float, float]:
    """Test accuracy, in [0, 1] or `DIVERGED`, and seconds that its run took."""
    variant, seed = str(cell["variant"]), int(cell["seed"])
    path = training_folder(folder, variant, seed)
    shutil.rmtree(path, ignore_errors=True)  # a killed run starts anew, since its time is measured
    start = time.perf_counter()
    run = Run(replace(variants[variant], seed=seed, run=path))
    keep_record(folder, run.data.record)
    accuracy = run.train(show_progress=False)
    return DIVERGED if run.has_diverged else accuracy, time.perf_counter() - start


@dataclass(frozen=True)
class ComparisonFiles:
    """What a finished comparison has written: table (Markdown, CSV), CSV of all runs, picture (PNG).

    Attributes:
        rows (list of dict): of `summary`.
        diverged (list of str): the trainings that have diverged, and are in no mean.
    """

    markdown: Path
    table: Path
    runs: Path
    picture: Path
    rows: Sequence[Mapping[str, Any]]
    diverged: Sequence[str] = ()


class Comparison:
    """A comparison with twins, checked and ready: data loaded, every variant built once, folder made.

    Args:
        options (ComparisonOptions): see there.

    Attributes:
        cells (list of Cell): one for each variant and seed, whose runs stay in the folder.

    Raises:
        ValueError: if the options do not go together, or the folder belongs to something else.
        FileNotFoundError, ImportError: as `Run`.
    """

    def __init__(self, options: ComparisonOptions) -> None:
        self.options = options
        place = place_of(options)
        device = device_of(options.training.trainer)
        training = options.training
        variants = {name: replace(training, model=model) for name, model in options.models().items()}
        self._trainings = Trainings(options.folder, variants, options.seeds, options.jobs, place)
        self.cells = self._trainings.cells
        claim_study(options, device)

    def run(self) -> ComparisonFiles | None:
        """Train and test what is missing, and write the tables.

        Returns:
            ComparisonFiles or None: None if other machines have not finished their runs; the one that
                finishes last writes the tables.
        """
        folder = self.options.folder
        runs = self._trainings.run()
        if runs is None:
            return None
        rows = summary(runs)
        files = ComparisonFiles(
            folder / "comparison.md",
            folder / "comparison.csv",
            folder / "runs.csv",
            folder / "comparison.png",
            rows,
            diverged(runs),
        )
        write_rows(files.runs, _RUN_COLUMNS, runs)
        write_rows(files.table, _COLUMNS, rows)
        with whole_file(files.markdown) as unfinished:
            unfinished.write_text(as_markdown(rows), encoding="utf-8")
        with whole_file(files.picture) as unfinished:
            plots.comparison(runs).savefig(unfinished)
        return files


def diverged(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The trainings that have diverged, as "quantum with seed 3"."""
    return [f"{run['variant']} with seed {run['seed']}" for run in runs if math.isnan(run["accuracy"])]


def summary(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each variant, with means over its seeds, without trainings that have diverged.

    Args:
        runs (sequence of mappings): with "variant", "parameters", "accuracy" (in [0, 1], NaN if it has
            diverged) and "seconds", each variant in the same order of seeds, among them "quantum".

    Returns:
        list of dict: with "variant", "parameters", the means "accuracy" and "seconds", the
            "standard_deviation" of the accuracies, the "half_width" of the 95 % confidence interval of
            their mean, mean and half width of the "difference" to the quantum run of the same seed, the
            number of "trainings" in the mean, and of those that have "diverged". What needs more seeds
            than there are is NaN.
    """
    by_variant = {
        variant: [run for run in runs if run["variant"] == variant]
        for variant in dict.fromkeys(run["variant"] for run in runs)
    }
    rows = []
    for variant, of_variant in by_variant.items():
        pairs = zip(of_variant, by_variant["quantum"], strict=True)
        accuracies = _numbers(run["accuracy"] for run in of_variant)
        mean, half_width = mean_and_interval(accuracies)
        difference = mean_and_interval(
            _numbers(run["accuracy"] - other["accuracy"] for run, other in pairs)
        )
        spread = stdev(accuracies) if len(accuracies) > 1 else math.nan
        seconds = fmean(run["seconds"] for run in of_variant)
        numbers = len(accuracies), len(of_variant) - len(accuracies)
        size = of_variant[0]["parameters"]
        values = (variant, size, mean, spread, half_width, *difference, seconds, *numbers)
        rows.append(dict(zip(_COLUMNS, values, strict=True)))
    return rows


def _numbers(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `summary` as a table to paste, in %; intervals from three seeds on."""
    numbers = [
        "trainable parameters",
        "test accuracy (%), mean ± standard deviation",
        "95 % interval",
        "difference to quantum (points)",
        "95 % interval",
        "seconds per run",
    ]
    return tables.markdown(["variant"], numbers, map(as_texts, rows)) + "\n"


def as_texts(row: Mapping[str, Any]) -> list[str]:
    """A row of `summary` as the cells of `as_markdown`."""
    diverged = f" ({row['diverged']} diverged)" if row["diverged"] else ""
    accuracy = [_percent(row["accuracy"])]
    if row["trainings"] > 1:
        accuracy.append(_percent(row["standard_deviation"]))
    difference = ["", ""]
    if row["variant"] != "quantum":
        difference = [_percent(row["difference"], "+"), _interval(row, "difference", "+")]
    return [
        row["variant"] + diverged,
        f"{row['parameters']:,}",
        " ± ".join(accuracy),
        _interval(row, "accuracy"),
        *difference,
        f"{row['seconds']:.0f}",
    ]


def _percent(value: float, sign: str = "") -> str:
    return "" if math.isnan(value) else f"{100 * value:{sign}.2f}"


def _interval(row: Mapping[str, Any], name: str, sign: str = "") -> str:
    half_width = row["half_width" if name == "accuracy" else f"{name}_half_width"]
    if row["trainings"] < MIN_FOR_INTERVAL or math.isnan(half_width):
        return ""
    return f"{_percent(row[name] - half_width, sign)} to {_percent(row[name] + half_width, sign)}"
