"""`sqdr runs`: which runs a folder holds, and how far they are."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqdr.experiment.commands.command import Command
from sqdr.experiment.options import build_noise
from sqdr.experiment.tables import print_table
from sqdr.validation import argument_error


def _add_options(parser: Any) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("runs"), help="folder of the runs, or a run"
    )


def _prepare(namespace: Any) -> Callable[[], int]:
    folder: Path = namespace.folder
    if not folder.is_dir():
        raise argument_error("folder", "be a folder that holds runs", f"there is no folder {folder}")
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    trainings = sorted(folder.glob("*/trainings/*/"))
    return partial(_list, [p for p in (*candidates, *trainings) if (p / "metrics.csv").is_file()])


def _list(runs: Sequence[Path]) -> int:
    """A row for each run: its data, backend, noise, accuracy and state."""
    if not runs:
        print("No runs here; `sqdr train` makes one")
        return 0
    columns = ("run", "data", "backend", "noise", "state")
    print_table(columns, ("accuracy (%)",), map(_row, runs))
    return 0


def _row(path: Path) -> list[str]:
    from sqdr.experiment.training.epochs import has_diverged
    from sqdr.experiment.training.run_folder import RunFolder

    folder = RunFolder(path)
    try:
        options, rows, accuracy = folder.read_options(), folder.read_metrics(), folder.read_accuracy()
        noise = textwrap.shorten(build_noise(options.model.noise).in_words(), 40, placeholder="...")
        state = (
            f"{'running' if folder.is_in_use() else 'stopped'}, {len(rows)} of {options.epochs} epochs"
        )
        if accuracy is not None:
            state = "diverged" if has_diverged(rows) else "finished"
    except (ValueError, OSError):
        return [str(path), "", "", "", "damaged", ""]
    variant = options.model.circuit
    backend = options.model.backend if variant == "quantum" else f"{options.model.backend}, {variant}"
    percent = "" if accuracy is None else f"{100 * accuracy:.2f}"
    return [str(path), options.data.name, backend, noise, state, percent]


RUNS = Command(
    "runs",
    "list runs",
    "List runs, and those of studies: data, backend, noise, state and test accuracy.",
    "sqdr runs runs/",
    (),
    _add_options,
    _prepare,
)
