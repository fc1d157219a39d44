"""Trains the presets on MNIST and Fashion-MNIST, and puts their tables into docs/results.md.

For each data set: its preset, without and with noise, the twins of the preset, as `sqdr compare` has
them, and the published architecture. The trainings go in parallel, on one thread each, and stay under
`--folder`. What each gave is a row of docs/results.csv as soon as it is finished; the same command goes
on where it was stopped, and does nothing where a row is there already. The tables have the variants of
which all seeds are there; a line below tells of the others.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from cpuinfo import get_cpu_info
from torch.nn.functional import cross_entropy

from sqdr.experiment import tables
from sqdr.experiment.option_names import as_configuration, without
from sqdr.experiment.options import TWINS, DataOptions, NoiseOptions, RunOptions, TrainerOptions
from sqdr.experiment.presets import preset
from sqdr.experiment.provenance import made_with
from sqdr.experiment.reports.measurement import measure_on_test_images
from sqdr.experiment.studies.comparison import Trainings, as_texts, summary, training_folder
from sqdr.experiment.studies.shared_trials import claim_folder
from sqdr.experiment.training.finished import read_run
from sqdr.experiment.training.preparation import prepare
from sqdr.experiment.training.trainer import device_of
from sqdr.files import write_rows
from sqdr.validation import argument_error

DOCS = Path(__file__).parents[1] / "docs"
PAGE, ROWS = DOCS / "results.md", DOCS / "results.csv"
DATA_SETS = ("mnist", "fashion-mnist")
NOISE = NoiseOptions({"BitFlip": 0.02, "Depolarizing": 0.03, "AmplitudeDamping": 0.1})
_COLUMNS = ["data", "variant", "seed", "configuration", "parameters", "accuracy", "synops", "made_with"]
#: Options on which no result depends.
_IGNORED = {"data.root", "data.download", "run", "seed"}
#: Training steps that are timed, after as many that are not.
_STEPS = 20


class Variant(NamedTuple):
    """How one row of a table is trained."""

    data: str
    name: str
    training: RunOptions

    @property
    def configuration(self) -> str:
        """Short for the options on which results depend, so that rows of others are trained anew."""
        options = without(as_configuration(self.training), _IGNORED)
        text = json.dumps(options, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def variants_of(data: DataOptions) -> dict[str, RunOptions]:
    """The trainings of a data set by the names of their rows."""
    quantum = replace(preset(data.name), data=data)
    published = preset("published")
    changes: dict[str, dict[str, Any]] = {"quantum, with noise": {"noise": NOISE}, **TWINS}
    return {
        "quantum": quantum,
        **{name: replace(quantum, model=replace(quantum.model, **c)) for name, c in changes.items()},
        "published": replace(published, data=data, epochs=quantum.epochs),
    }


def in_order(root: Path) -> list[Variant]:
    """All variants, those of both data sets in turn."""
    by_data = {name: variants_of(replace(preset(name).data, root=root)) for name in DATA_SETS}
    names = list(by_data[DATA_SETS[0]])
    return [Variant(data, name, by_data[data][name]) for name in names for data in DATA_SETS]


@dataclass
class Rows:
    """The rows of docs/results.csv, which say what each training gave.

    Args:
        file (Path): is written after each new row.
    """

    file: Path

    def __post_init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        if self.file.exists():
            with self.file.open(newline="", encoding="utf-8") as stream:
                self._rows = list(csv.DictReader(stream))

    def of(self, variant: Variant) -> dict[int, dict[str, Any]]:
        """The rows of a variant as it is trained now, by their seeds."""
        wanted = {"data": variant.data, "variant": variant.name, "configuration": variant.configuration}
        return {int(row["seed"]): row for row in self._rows if wanted.items() <= row.items()}

    def add(self, variant: Variant, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows of a variant; those that were trained otherwise go."""
        here = {"data": variant.data, "variant": variant.name}
        now = here | {"configuration": variant.configuration}
        others = [row for row in self._rows if not here.items() <= row.items()]
        kept = [*others, *self.of(variant).values()]
        new = [now | {name: str(value) for name, value in row.items()} for row in rows]
        self._rows = [*kept, *new]
        write_rows(self.file, _COLUMNS, self._rows)


def train(
    variant: Variant, folder: Path, seeds: Sequence[int], jobs: int, trainer: TrainerOptions
) -> list[dict[str, Any]]:
    """What the trainings of these seeds give; those that are finished in the folder are read."""
    place = folder / variant.data / variant.name.replace(", ", "-").replace(" ", "-")
    options = {variant.name: as_configuration(variant.training)}
    younger = {variant.name: as_configuration(RunOptions())}  # than the folder
    device = device_of(trainer)
    claim_folder(place, options, device, defaults=younger)
    training = replace(variant.training, trainer=trainer)
    runs = Trainings(place, {variant.name: training}, seeds, jobs).run()
    if runs is None:
        raise SystemExit("Other machines are still at work.")
    return [
        {"seed": run["seed"], "parameters": run["parameters"], "accuracy": run["accuracy"]}
        | {"synops": synaptic_operations(training_folder(place, variant.name, run["seed"]))}
        | {"made_with": machine(device)}
        for run in runs
    ]


def synaptic_operations(run: Path) -> int:
    """Synaptic operations for one test image, of all layers of the front end."""
    layers = measure_on_test_images(read_run(run)).layers
    return round(sum(layer.operations.synops for layer in layers.values()))


def machine(device: torch.device) -> str:
    """What a training was made with."""
    here = made_with(device, 1)
    versions = [f"{name} {value}" for name, value in here.items() if name not in ("device", "threads")]
    name = get_cpu_info()["brand_raw"] if device.type == "cpu" else here["device"]
    return f"{', '.join(versions)}, on {name}"


def minutes_of_training(training: RunOptions) -> float:
    """Minutes of the steps of a training on one thread: the median of a few, after a warm-up."""
    data, model, _ = prepare(training)
    optimizer = torch.optim.AdamW(model.parameters())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    for (images, labels), _ in zip(_again(data.train_dataloader()), range(2 * _STEPS), strict=False):
        start = time.perf_counter()
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    n_steps = training.epochs * math.floor(len(data.train.labels) / data.batch_size)
    return n_steps * median(seconds[_STEPS:]) / 60


def _again(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from batches


def table(variants: Sequence[Variant], rows: Rows, seeds: Sequence[int]) -> str:
    """What there is of one data set, as Markdown; without "quantum" there is nothing to compare."""
    whole = [variant for variant in variants if set(seeds) <= rows.of(variant).keys()]
    missing = {variant.name: rows.of(variant) for variant in variants if variant not in whole}
    if variants[0] not in whole:
        return "Not trained yet: `make results` writes the table here."
    runs, synops, minutes = [], {}, {}
    for variant in whole:
        by_seed = rows.of(variant)
        for row in map(by_seed.__getitem__, seeds):
            accuracy, n_parameters = float(row["accuracy"]), int(row["parameters"])
            runs.append({"variant": variant.name, "parameters": n_parameters, "accuracy": accuracy})
            runs[-1]["seconds"] = 0.0  # of which other work on the machine takes its share
        synops[variant.name] = int(by_seed[seeds[0]]["synops"])
        minutes[variant.name] = minutes_of_training(variant.training)
    cells = [
        [*as_texts(row)[:-1], f"{minutes[row['variant']]:.0f}", f"{synops[row['variant']] / 1000:.0f}"]
        for row in summary(runs)
    ]
    numbers = [
        "parameters",
        "test accuracy (%), mean ± standard deviation",
        "95 % interval",
        "difference to quantum (points)",
        "95 % interval",
        "minutes a run, one thread",
        "thousand SynOps an image",
    ]
    text = tables.markdown(["variant"], numbers, cells)
    made = {row["made_with"] for variant in whole for row in rows.of(variant).values()}
    text += f"\n\nSeeds {', '.join(map(str, seeds))}. Made with {'; '.join(sorted(made))}."
    if missing:
        so_far = (f"{name} {_accuracies(of_seeds)}" for name, of_seeds in missing.items())
        text += f" Not all seeds yet, test accuracy (%) of those that there are: {'; '.join(so_far)}."
    return text


def _accuracies(of_seeds: Mapping[int, Mapping[str, Any]]) -> str:
    """In %, in the order of the seeds."""
    texts = (f"{100 * float(of_seeds[seed]['accuracy']):.2f}" for seed in sorted(of_seeds))
    return ", ".join(texts) or "none"


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


def write_page(variants: Sequence[Variant], rows: Rows, seeds: Sequence[int]) -> None:
    """Put the tables of what there is into docs/results.md."""
    page = PAGE.read_text(encoding="utf-8")
    for data in DATA_SETS:
        of_data = [variant for variant in variants if variant.data == data]
        page = written_into(page, data, table(of_data, rows, seeds))
    PAGE.write_text(page, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path("datasets"), help="of the data sets")
    parser.add_argument("--folder", type=Path, default=Path("runs/results"), help="of the trainings")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--accelerator", default="cpu", help="that trains, for instance gpu")
    parser.add_argument("--page_only", action="store_true", help="train nothing, write the page")
    options = parser.parse_args()
    rows, variants, seeds = Rows(ROWS), in_order(options.root), range(options.seeds)
    trainer = TrainerOptions(accelerator=options.accelerator)
    for variant in variants:
        missing = [seed for seed in seeds if seed not in rows.of(variant)]
        if missing and not options.page_only:
            rows.add(variant, train(variant, options.folder, missing, options.jobs, trainer))
            print(f"{variant.data}, {variant.name}: {ROWS}", flush=True)
    write_page(variants, rows, list(seeds))
    print(PAGE)


if __name__ == "__main__":
    main()
