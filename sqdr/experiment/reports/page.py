"""Reports: what a finished run has learnt and what it costs, as pictures and one page of HTML."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2
from torch import Tensor

from sqdr.experiment import plots
from sqdr.experiment.option_names import as_plain, flat
from sqdr.experiment.options import ReportOptions
from sqdr.experiment.reports.energy import ENERGIES, Operations
from sqdr.experiment.reports.measurement import Measurement, measure_on_test_images
from sqdr.experiment.reports.pictures import NOT_ALWAYS, Picture, draw_pictures, recorded_parts
from sqdr.experiment.training.epochs import is_finite
from sqdr.experiment.training.finished import TrainedRun, read_run
from sqdr.experiment.training.monitoring import parameters_of_parts
from sqdr.files import whole_file
from sqdr.noise import PLACES, NoiseModel, OnLastWire, TwoWireDepolarizing
from sqdr.validation import argument_error

_CONVERGED = "be a training that has not diverged"

#: Cells of a table, row by row.
Rows = Iterable[Sequence[str]]


class Report:
    """A report on a finished run, checked and ready: the run read from its folder.

    Args:
        options (ReportOptions): see there.

    Raises:
        ValueError: if the folder is not that of a finished run, its files do not fit each other, or its
            best epoch's weights or loss are not finite.
        FileNotFoundError, ImportError: as `Run`.
    """

    def __init__(self, options: ReportOptions) -> None:
        run = options.run
        self.folder = run / "report"
        self._trained = read_run(run, options.data.root, options.data.download)
        if not is_finite(self._trained.model):
            raise argument_error("run", _CONVERGED, f"the weights in {run} are not finite")
        loss = self._trained.rows[self._trained.best_epoch]["validation_loss"]
        if not math.isfinite(loss):
            raise argument_error("run", _CONVERGED, f"the validation loss in {run} is {loss}")

    def write(self, show_progress: bool = True) -> Path:
        """Evaluate the best epoch on the test images, and write `report` in the folder of the run.

        That is report.html, which refers to nothing outside itself, and its pictures as PNG files.
        Nothing is written before everything has been computed.

        Args:
            show_progress (bool): whether to show a progress bar if stdout is a terminal. Default: True.

        Returns:
            Path: report.html.
        """
        measured = measure_on_test_images(self._trained, show_progress and sys.stdout.isatty())
        pictures = draw_pictures(self._trained, measured)
        page = as_html(self._trained, measured, pictures)
        self.folder.mkdir(exist_ok=True)
        files = {self.folder / f"{picture.name}.png": picture.png for picture in pictures}
        files[self.folder / "report.html"] = page.encode()
        for file, content in files.items():
            with whole_file(file) as unfinished:
                unfinished.write_bytes(content)
        for name in NOT_ALWAYS.difference(picture.name for picture in pictures):
            (self.folder / f"{name}.png").unlink(missing_ok=True)  # of an earlier report
        return self.folder / "report.html"


def as_html(trained: TrainedRun, measured: Measurement, pictures: Iterable[Picture]) -> str:
    """The report as one page that refers to nothing outside itself."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["base64"] = lambda content: base64.b64encode(content).decode()
    layers = measured.layers.values()
    total = measured.classical
    for layer in layers:
        total = total.plus(layer.operations)
    return templates.get_template("page.html.jinja").render(
        data_name=trained.options.data.name,
        variant=trained.options.model.circuit,
        circuit=trained.circuit,
        has_gradient_norms=bool(recorded_parts(trained)),
        accuracy=measured.scores.accuracy,
        results=_results(trained, measured),
        pictures=list(pictures),
        classes=_classes(measured.scores.confusion, trained.data.class_names),
        parameters=_parameters(trained),
        gates=_gates(trained),
        layers=_layers(measured, total),
        energies=_energies(total),
        options=_options(trained),
    )


def _results(trained: TrainedRun, measured: Measurement) -> Rows:
    options, scores = trained.options, measured.scores
    n_images = len(trained.data.test.labels)
    yield "test accuracy", f"{100 * scores.accuracy:.2f} % of {n_images:,} images"
    yield "test cross entropy", f"{scores.cross_entropy:.4f}"
    yield "weights", f"of epoch {trained.best_epoch + 1} of {len(trained.rows)}"
    yield "backend", options.model.backend
    yield "seed", str(options.seed)


def _classes(confusion: Tensor, names: Sequence[str]) -> Rows:
    """Class, images, how many are found, how many so called are right, what they are taken for."""
    for label, name in enumerate(names):
        n_images, n_right = int(confusion[label].sum()), int(confusion[label, label])
        n_called = int(confusion[:, label].sum())
        precision = f"{100 * n_right / n_called:.1f}" if n_called else "–"
        others = confusion[label].clone()
        others[label] = 0
        most = f"{names[int(others.argmax())]} ({int(others.max())})" if others.any() else "–"
        yield name, f"{n_images:,}", f"{100 * n_right / n_images:.1f}", precision, most


def _parameters(trained: TrainedRun) -> Rows:
    counts = {
        part: sum(parameter.numel() for parameter in parameters)
        for part, parameters in parameters_of_parts(trained.model).items()
    }
    for part, count in (counts | {"all parts": sum(counts.values())}).items():
        yield part, f"{count:,}"


def _gates(trained: TrainedRun) -> Rows:
    """Gate, channel or observable: how many at a time, how often, in all; nothing for no circuit."""
    circuit = trained.circuit
    if circuit is None:
        return
    ansatz, noise = circuit.ansatz, circuit.noise or NoiseModel()
    n_wires, n_blocks, n_pairs = ansatz.n_wires, ansatz.n_blocks, len(ansatz.pairs)
    scaled = ", scaled" if ansatz.scaling else ""
    in_block = {
        f"{plots.gate_name(ansatz.encoding)} with angles of the data{scaled}": (n_wires, n_blocks),
        f"{plots.gate_name(ansatz.rotation)} with trained angles": (n_wires, n_blocks),
        f"{ansatz.entangler}, between blocks": (n_pairs, n_blocks - 1),
    }
    for (place, where), times in zip(PLACES.items(), (n_blocks, n_blocks - 1), strict=True):
        for channel in getattr(noise, place):
            n_channels = 1 if isinstance(channel.strength, OnLastWire) else n_wires
            if isinstance(channel, TwoWireDepolarizing):
                n_channels = n_pairs
            in_block[f"{channel.in_words()} after {where}"] = n_channels, times
    in_block["observables, at the end"] = ansatz.n_outputs, 1
    for gate, (n, times) in in_block.items():
        yield gate, f"{n:,}", f"{times:,}", f"{n * times:,}"


def _layers(measured: Measurement, total: Operations) -> Rows:
    for name, of in measured.layers.items():
        yield name, f"{of.n_neurons:,}", f"{100 * of.rate:.2f}", *_synops_and_macs(of.operations)
    yield "classical part", "", "", *_synops_and_macs(measured.classical)
    yield "all layers", "", "", *_synops_and_macs(total)


def _synops_and_macs(operations: Operations) -> tuple[str, str]:
    return f"{operations.synops:,.0f}", f"{operations.macs:,.0f}"


def _energies(total: Operations) -> Rows:
    kinds = (
        "synaptic operations (SynOps)",
        "multiply-accumulates",
        "bytes of parameters read",
        "bytes of membrane potentials read and written",
    )
    energies = total.energies()
    for kind, number, each, energy in zip(kinds, total, ENERGIES, energies, strict=True):
        yield kind, f"{number:,.0f}", f"{each:g}", f"{energy / 1000:,.2f}"
    yield "arithmetic", "", "", f"{(energies.synops + energies.macs) / 1000:,.2f}"
    yield "arithmetic and memory", "", "", f"{sum(energies) / 1000:,.2f}"


def _options(trained: TrainedRun) -> Rows:
    return ((name, json.dumps(value)) for name, value in flat(as_plain(trained.options)).items())
