"""Comparisons: the model and its twins without entanglement, training or circuit, over seeds."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from sqdr.experiment.intervals import mean_and_interval
from sqdr.experiment.options import ComparisonOptions, NoiseOptions, RunOptions
from sqdr.experiment.studies.shared_trials import Cell, claim_study, finish_cells
from sqdr.experiment.training.preparation import count_parameters, prepare
from sqdr.experiment.training.run import Run
from sqdr.experiment.training.trainer import device_of
from sqdr.files import whole_file, write_rows

#: What each variant changes in the options of the model. Classical ones have no noise.
VARIANTS: dict[str, dict[str, Any]] = {
    "quantum": {},
    "no entanglement": {"entanglement": "none"},
    "frozen circuit": {"circuit": "frozen"},
    "MLP of equal size": {"circuit": "mlp", "noise": NoiseOptions()},
    "no circuit": {"circuit": "none", "noise": NoiseOptions()},
}

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
]


@dataclass(frozen=True)
class ComparisonFiles:
    """What a finished comparison has written: its table, as Markdown and CSV, and a CSV of all runs."""

    markdown: Path
    table: Path
    runs: Path


class Comparison:
    """A comparison, checked and ready: data loaded, every variant built once, folder made.

    Args:
        options (ComparisonOptions): see there.

    Attributes:
        cells (list of Cell): one for each variant and seed, whose runs stay in the folder.

    Raises:
        ValueError: if the options do not go together, or the folder belongs to something else.
        FileNotFoundError, ImportError: as `Run`.
    """

    def __init__(self, options: ComparisonOptions) -> None:
        device = device_of(options.training.trainer)
        self.options = options
        self.cells: list[Cell] = [
            {"variant": variant, "seed": seed} for seed in options.seeds for variant in VARIANTS
        ]
        self._n_parameters = {
            variant: count_parameters(prepare(_variant(options.training, variant))[1])
            for variant in VARIANTS
        }
        claim_study(options, device)

    def run(self) -> ComparisonFiles | None:
        """Train and test what is missing, and write the tables.

        Returns:
            ComparisonFiles or None: None if other machines have not finished their runs; the one that
                finishes last writes the tables.
        """
        folder = self.options.folder
        results = finish_cells(
            folder,
            self.cells,
            ["maximize", "minimize"],
            partial(_train_and_test, self.options),
            self.options.jobs,
        )
        if results is None:
            return None
        runs = [
            {"parameters": self._n_parameters[str(cell["variant"])], "accuracy": accuracy}
            | {**cell, "seconds": round(seconds, 1)}
            for cell, (accuracy, seconds) in zip(self.cells, results, strict=True)
        ]
        rows = summary(runs)
        files = ComparisonFiles(
            folder / "comparison.md", folder / "comparison.csv", folder / "runs.csv"
        )
        write_rows(files.runs, _RUN_COLUMNS, runs)
        write_rows(files.table, _COLUMNS, rows)
        with whole_file(files.markdown) as unfinished:
            unfinished.write_text(as_markdown(rows))
        return files


def summary(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each variant, with means over its seeds.

    Args:
        runs (sequence of mappings): with "variant", "parameters", "accuracy" (in [0, 1]) and "seconds",
            each variant in the same order of seeds, among them "quantum".

    Returns:
        list of dict: with "variant", "parameters", the means "accuracy" and "seconds", the
            "standard_deviation" of the accuracies, the "half_width" of the 95 % confidence interval of
            their mean, and mean and half width of the "difference" to the quantum run of the same seed.
            What needs more than one seed is NaN for one.
    """
    by_variant = {
        variant: [run for run in runs if run["variant"] == variant]
        for variant in dict.fromkeys(run["variant"] for run in runs)
    }
    rows = []
    for variant, of_variant in by_variant.items():
        pairs = list(zip(of_variant, by_variant["quantum"], strict=True))
        accuracies = [run["accuracy"] for run in of_variant]
        mean, half_width = mean_and_interval(accuracies)
        difference = mean_and_interval([run["accuracy"] - other["accuracy"] for run, other in pairs])
        spread = stdev(accuracies) if len(accuracies) > 1 else math.nan
        seconds = fmean(run["seconds"] for run in of_variant)
        values = (variant, of_variant[0]["parameters"], mean, spread, half_width, *difference, seconds)
        rows.append(dict(zip(_COLUMNS, values, strict=True)))
    return rows


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `summary` as a table to paste, with accuracies in %."""
    table = (
        "| variant | trainable parameters | test accuracy (%), mean ± standard deviation "
        "| 95 % interval | difference to quantum (points) | 95 % interval | seconds per run |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    for row in rows:
        table += (
            f"| {row['variant']} | {row['parameters']:,} "
            f"| {100 * row['accuracy']:.2f} ± {100 * row['standard_deviation']:.2f} "
            f"| {_interval(row['accuracy'], row['half_width'])} "
        )
        if row["variant"] == "quantum":
            table += "| | "
        else:
            interval = _interval(row["difference"], row["difference_half_width"], "+")
            table += f"| {100 * row['difference']:+.2f} | {interval} "
        table += f"| {row['seconds']:.0f} |\n"
    return table


def _interval(mean: float, half_width: float, sign: str = "") -> str:
    return f"{100 * (mean - half_width):{sign}.2f} to {100 * (mean + half_width):{sign}.2f}"


def _variant(options: RunOptions, variant: str) -> RunOptions:
    return replace(options, model=replace(options.model, **VARIANTS[variant]))


def _train_and_test(options: ComparisonOptions, cell: Cell) -> tuple[float, float]:
    """Test accuracy, in [0, 1], and seconds that its run took."""
    variant, seed = str(cell["variant"]), int(cell["seed"])
    folder = options.folder / "trainings" / f"{variant.replace(' ', '-')}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)  # a killed run starts anew, since its time is measured
    start = time.perf_counter()
    run = Run(replace(_variant(options.training, variant), seed=seed, run=folder))
    accuracy = run.train(show_progress=False)
    return accuracy, time.perf_counter() - start
