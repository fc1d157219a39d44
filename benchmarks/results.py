"""Trains the presets on MNIST and Fashion-MNIST, and puts their tables into docs/results.md.

For each data set: its preset, without and with noise, and the published architecture; then the twins of
the preset, as `sqdr compare` has them. The trainings go in parallel, on one thread each, and stay under
`--folder`, in which the same command goes on where it was stopped. Tables are written as soon as all
their trainings are there.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from cpuinfo import get_cpu_info

from sqdr.experiment import tables
from sqdr.experiment.option_names import as_configuration
from sqdr.experiment.options import TWINS, DataOptions, NoiseOptions, RunOptions
from sqdr.experiment.presets import preset
from sqdr.experiment.provenance import made_with
from sqdr.experiment.reports.measurement import measure_on_test_images
from sqdr.experiment.studies.comparison import Trainings, as_texts, summary, training_folder
from sqdr.experiment.studies.shared_trials import claim_folder
from sqdr.experiment.training.finished import read_run
from sqdr.validation import argument_error

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
DATA_SETS = ("mnist", "fashion-mnist")
NOISE = NoiseOptions({"BitFlip": 0.02, "Depolarizing": 0.03, "AmplitudeDamping": 0.1})


def recipes(data: DataOptions) -> dict[str, RunOptions]:
    """The preset of a data set, without and with noise, and the published architecture beside it."""
    quantum = replace(preset(data.name), data=data)
    published = preset("published")
    return {
        "quantum": quantum,
        "quantum, with noise": replace(quantum, model=replace(quantum.model, noise=NOISE)),
        "published": replace(published, data=data, epochs=quantum.epochs),
    }


def twins(data: DataOptions) -> dict[str, RunOptions]:
    """What stands in the place of the quantum layer of the preset."""
    quantum = replace(preset(data.name), data=data)
    return {
        name: replace(quantum, model=replace(quantum.model, **changes))
        for name, changes in TWINS.items()
    }


def results_of(
    folder: Path, variants: Mapping[str, RunOptions], seeds: Sequence[int], jobs: int | None
) -> list[dict[str, Any]] | None:
    """The runs of all variants, trained where they are missing; None if other machines are at work."""
    claim_folder(
        folder, {name: as_configuration(run) for name, run in variants.items()}, torch.device("cpu")
    )
    return Trainings(folder, variants, seeds, jobs).run()


def synaptic_operations(folder: Path, variant: str, seed: int) -> float:
    """Synaptic operations for one test image, of all layers of the front end."""
    measured = measure_on_test_images(read_run(training_folder(folder, variant, seed)))
    return sum(layer.operations.synops for layer in measured.layers.values())


def table(runs: Sequence[Mapping[str, Any]], synops: Mapping[str, float]) -> str:
    """The runs of one data set as Markdown."""
    rows = [[*as_texts(row), f"{synops[row['variant']] / 1000:.0f}"] for row in summary(runs)]
    numbers = [
        "parameters",
        "test accuracy (%), mean ± standard deviation",
        "95 % interval",
        "difference to quantum (points)",
        "95 % interval",
        "seconds a run",
        "thousand SynOps an image",
    ]
    return tables.markdown(["variant"], numbers, rows)


def machine(jobs: int) -> str:
    """What the figures were made with, in a sentence."""
    here = made_with(torch.device("cpu"), 1)
    versions = ", ".join(
        f"{name} {value}" for name, value in here.items() if name not in ("device", "threads")
    )
    cpu = get_cpu_info()["brand_raw"]
    return f"Made with {versions}, on {jobs} cores of {cpu}, one for each training."


def written_into(page: str, part: str, text: str) -> str:
    """The page with the text between the marks of a part.

    Raises:
        ValueError: if the page has no such marks.
    """
    begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->\n"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise argument_error("page", f"have the marks of {part!r}", "has not")
    return f"{before}{begin}\n{text}\n\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path("datasets"), help="of the data sets")
    parser.add_argument("--folder", type=Path, default=Path("runs/results"), help="of the trainings")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    options = parser.parse_args()
    runs: dict[str, list[Any]] = {name: [] for name in DATA_SETS}
    synops: dict[str, dict[str, float]] = {name: {} for name in DATA_SETS}
    for stage in (recipes, twins):
        for name in DATA_SETS:
            data = replace(preset(name).data, root=options.root)
            folder = options.folder / name / stage.__name__
            variants = stage(data)
            trained = results_of(folder, variants, range(options.seeds), options.jobs)
            if trained is None:
                print("Other machines are still at work.")
                return
            runs[name] += trained
            synops[name] |= {variant: synaptic_operations(folder, variant, 0) for variant in variants}
            page = written_into(PAGE.read_text(encoding="utf-8"), name, table(runs[name], synops[name]))
            page = written_into(page, "machine", machine(options.jobs))
            PAGE.write_text(page, encoding="utf-8")
            print(f"{name}, {stage.__name__}: {PAGE}", flush=True)


if __name__ == "__main__":
    main()
