"""Reports: what a finished run has learnt and what it costs, as pictures and one page of HTML."""

from __future__ import annotations

import base64
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from rich.progress import track
from torch import Tensor, nn

from sqdr.experiment import plots
from sqdr.experiment.data.sets import Images
from sqdr.experiment.option_names import as_plain, flat
from sqdr.experiment.reports.energy import ENERGIES, Operations, count_operations
from sqdr.experiment.training.finished import TrainedRun, read_run
from sqdr.experiment.training.monitoring import (
    PARTS,
    gradient_norm_name,
    is_finite,
    parameters_of_parts,
)
from sqdr.files import whole_file
from sqdr.model import SQDR_CNN
from sqdr.noise import NoiseModel, OnLastWire
from sqdr.spiking import IntegrateAndFire, SpikingEncoder
from sqdr.validation import argument_error


def write_report(
    run: Path, show_progress: bool = True, *, root: Path | None = None, download: bool = False
) -> Path:
    """Evaluate a run's best epoch on the test images, and write a report into `report` in its folder.

    That is report.html, which refers to nothing outside itself, and its pictures as PNG files.
    Nothing is written before everything has been computed.

    Args:
        run (Path): folder of a finished run.
        show_progress (bool): whether to show a progress bar if stdout is a terminal. Default: True.
        root (Path or None), download (bool): where the data set is, and whether it may be downloaded;
            see `read_run`.

    Returns:
        Path: report.html.

    Raises:
        ValueError: if the folder is not that of a finished run, its files do not fit each other, or its
            best epoch's weights or loss are not finite.
        FileNotFoundError, ImportError: as `Run`.
    """
    trained = read_run(run, root, download)
    if not is_finite(trained.model):
        raise argument_error("run", _CONVERGED, f"the weights in {run} are not finite")
    loss = trained.rows[trained.best_epoch]["validation_loss"]
    if not math.isfinite(loss):
        raise argument_error("run", _CONVERGED, f"the validation loss in {run} is {loss}")
    results = evaluate(trained, show_progress and sys.stdout.isatty())
    pictures = draw_pictures(trained, results)
    page = as_html(trained, results, pictures)
    folder = run / "report"
    folder.mkdir(exist_ok=True)
    files = {folder / f"{picture.name}.png": picture.png for picture in pictures}
    files[folder / "report.html"] = page.encode()
    for file, content in files.items():
        with whole_file(file) as unfinished:
            unfinished.write_bytes(content)
    for name in _NOT_ALWAYS.difference(picture.name for picture in pictures):
        (folder / f"{name}.png").unlink(missing_ok=True)  # of an earlier report
    return folder / "report.html"


_CONVERGED = "be a training that has not diverged"
#: Pictures that not every run has; see `_figures`.
_NOT_ALWAYS = {"circuit", "gradient_norms"}


class Layer(NamedTuple):
    """What a layer of neurons of the front end has done, as means over the test images.

    Attributes:
        n_neurons: number of neurons.
        rate: spikes for each neuron and time step.
        deviation: standard deviation of the rate over images.
        operations: of the neurons and of the synapses before them.
    """

    n_neurons: int
    rate: float
    deviation: float
    operations: Operations


@dataclass(frozen=True)
class Results:
    """What the evaluation on the test images has found.

    Attributes:
        accuracy (float): in [0, 1].
        loss (float): cross entropy, label smoothing included.
        confusion (Tensor of shape (n_classes, n_classes)): images by true and predicted class.
        layers (dict of str to Layer): of the spiking front end, from input to output.
        classical (Operations): of the classical rest for one image.
        angles (Tensor of shape (n_images, 3 * n_wires)): that the circuit has read, in radians.
        examples (Examples): one image of each class.
    """

    accuracy: float
    loss: float
    confusion: Tensor
    layers: dict[str, Layer]
    classical: Operations
    angles: Tensor
    examples: Examples


class Examples(NamedTuple):
    """Images, their labels and predicted labels, and spikes (T, n_images, n_neurons) by layer."""

    images: Tensor
    labels: Tensor
    predictions: Tensor
    spikes: dict[str, Tensor]


@torch.no_grad()
def evaluate(trained: TrainedRun, show_progress: bool = False) -> Results:
    """Evaluate a trained model on the test images, and count what it does for them."""
    model, data, classifier = trained.model, trained.data, trained.classifier
    n_images = len(data.test.labels)
    angles, logits, classical = [], [], Operations()
    rates: dict[str, list[Tensor]] = {}
    neurons: dict[str, int] = {}
    operations: dict[str, Operations] = {}
    batches = track(data.test_dataloader(), "Test images", disable=not show_progress, transient=True)
    for images, _ in batches:
        with _watched(model.spiking) as calls:
            angles.append(model.angles(images))
        values = model.circuit(angles[-1])
        logits.append(model.head(values))
        for name, of_layer in calls.items():
            spikes = of_layer[-1].outputs.flatten(2)
            neurons[name] = spikes.shape[2]
            rates.setdefault(name, []).append(spikes.mean((0, 2)))
            for call in of_layer:
                counted = count_operations(call.module, call.inputs)
                operations[name] = operations.get(name, Operations()).plus(counted)
        classical = classical.plus(count_operations(model.head, values))
        if trained.circuit is None:
            classical = classical.plus(count_operations(model.circuit, angles[-1]))
    all_logits = torch.cat(logits)
    classifier.confusion.update(all_logits, data.test.labels)
    confusion = classifier.confusion.compute()
    layers = {
        name: Layer(
            neurons[name],
            float(torch.cat(of_layer).mean()),
            float(torch.cat(of_layer).std(correction=0)),
            operations[name].per_image(n_images),
        )
        for name, of_layer in rates.items()
    }
    return Results(
        float(confusion.trace() / confusion.sum()),
        float(classifier.loss(all_logits, data.test.labels)),
        confusion,
        layers,
        classical.per_image(n_images),
        torch.cat(angles),
        _examples(model, data.test, all_logits.argmax(1), len(data.class_names)),
    )


def _examples(model: SQDR_CNN, test: Images, predictions: Tensor, n_classes: int) -> Examples:
    """The first test image of each class."""
    chosen = [int((test.labels == label).nonzero()[0]) for label in range(n_classes)]
    with _watched(model.spiking) as calls:
        model.spiking(test.images[chosen])
    spikes = {name: of_layer[-1].outputs.flatten(2) for name, of_layer in calls.items()}
    return Examples(test.images[chosen], test.labels[chosen], predictions[chosen], spikes)


class _Call(NamedTuple):
    """What a layer was called with and has returned, (T, batch, ...)."""

    module: nn.Module
    inputs: Tensor
    outputs: Tensor


@contextmanager
def _watched(spiking: SpikingEncoder) -> Iterator[dict[str, list[_Call]]]:
    """Calls by the name of the layer, a convolution or linear layer and then its neurons."""
    calls: dict[str, list[_Call]] = {}
    handles = []
    name, n_convolutions = "", 0
    for module in spiking.layers:
        if isinstance(module, nn.Conv2d):
            n_convolutions += 1
            name = f"convolution {n_convolutions}"
        elif isinstance(module, nn.Linear):
            name = "linear"
        elif not isinstance(module, IntegrateAndFire):
            continue

        def keep(module: nn.Module, inputs: tuple[Tensor], outputs: Tensor, name: str = name) -> None:
            calls.setdefault(name, []).append(_Call(module, inputs[0], outputs))

        handles.append(module.register_forward_hook(keep))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


class Picture(NamedTuple):
    """A picture, its file's name without ending, and what it shows, in a sentence or two."""

    name: str
    caption: str
    png: bytes


def draw_pictures(trained: TrainedRun, results: Results) -> list[Picture]:
    """The pictures of a report, those left out that the run has nothing for."""
    return [
        Picture(name, caption, _as_png(figure)) for name, caption, figure in _figures(trained, results)
    ]


def _figures(trained: TrainedRun, results: Results) -> Iterator[tuple[str, str, Figure]]:
    names, circuit = trained.data.class_names, trained.circuit
    yield (
        "curves",
        "Cross entropy and accuracy on training and validation images. "
        f"The weights are those of epoch {trained.best_epoch + 1}, with the lowest validation loss.",
        plots.curves(trained.rows),
    )
    yield (
        "confusion",
        "Test images by true and predicted class.",
        plots.confusion_matrix(results.confusion.tolist(), names),
    )
    yield (
        "spikes",
        "The first test image of each class and the spikes that it causes, layer by layer; the "
        "predicted class stands below where it is wrong.",
        _raster(results.examples, names),
    )
    yield (
        "firing_rates",
        "Share of neurons that fire in a time step, mean over the test images; bars are the standard "
        "deviation over images.",
        plots.firing_rates({name: (of.rate, of.deviation) for name, of in results.layers.items()}),
    )
    if circuit is not None:
        yield (
            "circuit",
            "The circuit. Each Rot takes three angles, x from the data and w trained; a line with two "
            "dots is a CZ.",
            plots.circuit(circuit.n_wires, circuit.n_blocks, circuit.pairs, circuit.noise),
        )
    yield _angles(trained, results)
    if _recorded_parts(trained):
        yield (
            "gradient_norms",
            "Euclidean norm of the gradient of each part, mean over the steps of an epoch.",
            plots.gradient_norms(trained.rows),
        )


def _recorded_parts(trained: TrainedRun) -> list[str]:
    """The parts whose gradients the run has recorded."""
    return [part for part in PARTS if gradient_norm_name(part) in trained.rows[0]]


def _raster(examples: Examples, names: Sequence[str]) -> Figure:
    spikes = {name: of_layer.numpy() for name, of_layer in examples.spikes.items()}
    true, predicted = (
        [names[label] for label in labels] for labels in (examples.labels, examples.predictions)
    )
    return plots.spike_raster(examples.images.numpy(), spikes, true, predicted)


def _angles(trained: TrainedRun, results: Results) -> tuple[str, str, Figure]:
    caption = "Angles that the firing rates of the test images become."
    weights = None
    if trained.circuit is not None and trained.initial_weights is not None:
        caption += " Beside them, the circuit's weights before and after training."
        weights = trained.initial_weights.numpy(), trained.circuit.weights.detach().numpy()
    return "angles", caption, plots.angles(results.angles.numpy(), weights)


def _as_png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def as_html(trained: TrainedRun, results: Results, pictures: Iterable[Picture]) -> str:
    """The report as one page that refers to nothing outside itself."""
    options = trained.options
    title = f"SQDR-CNN on {options.data.name}: {100 * results.accuracy:.2f} % test accuracy"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _table(("result", ""), _results(trained, results), "words"),
        "<h2>Trainable parameters</h2>",
        _table(("part", "parameters"), _parameters(trained.model)),
        "<h2>Gates of the circuit</h2>",
        _gates(trained),
        "<h2>Operations and energy for one image (estimates)</h2>",
        *_costs(results),
        "<h2>Pictures</h2>",
        *map(_figure, pictures),
        *_notes(trained),
        "<h2>Configuration</h2>",
        _table(("option", "value"), _options(trained), "words"),
    ]
    return _PAGE.format(title=escape(title), body="\n".join(parts))


def _results(trained: TrainedRun, results: Results) -> Iterator[tuple[str, str]]:
    options = trained.options
    yield "test accuracy", f"{100 * results.accuracy:.2f} % of {len(trained.data.test.labels):,} images"
    smoothing = options.label_smoothing
    included = f" (label smoothing {smoothing:g} included)" if smoothing else ""
    yield "test cross entropy", f"{results.loss:.4f}{included}"
    yield "weights", f"of epoch {trained.best_epoch + 1} of {len(trained.rows)}"
    yield "backend", options.model.backend
    yield "seed", str(options.seed)


def _parameters(model: SQDR_CNN) -> Iterator[tuple[str, str]]:
    counts = {
        part: sum(parameter.numel() for parameter in parameters)
        for part, parameters in parameters_of_parts(model).items()
    }
    for part, count in (counts | {"all parts": sum(counts.values())}).items():
        yield part, f"{count:,}"


def _gates(trained: TrainedRun) -> str:
    circuit = trained.circuit
    if circuit is None:
        return _paragraph(f"There is no circuit: model.circuit is {trained.options.model.circuit}.")
    n_wires, n_blocks, noise = circuit.n_wires, circuit.n_blocks, circuit.noise or NoiseModel()
    in_block = {
        "Rot with angles of the data": (n_wires, n_blocks),
        "Rot with trained angles": (n_wires, n_blocks),
        "CZ, between blocks": (len(circuit.pairs), n_blocks - 1),
    }
    for place, channels, times in (
        ("rotations", noise.after_rotation, n_blocks),
        ("CZ layers", noise.after_entangler, n_blocks - 1),
    ):
        for channel in channels:
            n_channels = 1 if isinstance(channel.strength, OnLastWire) else n_wires
            in_block[f"{channel!r} after {place}"] = n_channels, times
    rows = [(gate, f"{n:,}", f"{times:,}", f"{n * times:,}") for gate, (n, times) in in_block.items()]
    return _table((f"on {n_wires} wires, in {n_blocks} blocks", "at a time", "times", "in all"), rows)


def _costs(results: Results) -> Iterator[str]:
    layers = results.layers
    rows = [
        (name, f"{of.n_neurons:,}", f"{100 * of.rate:.2f}", *_rounded(of.operations[:2]))
        for name, of in layers.items()
    ]
    classical = ("classical part", "", "", *_rounded(results.classical[:2]))
    total = Operations()
    for operations in (*(of.operations for of in layers.values()), results.classical):
        total = total.plus(operations)
    heading = ("layer", "neurons", "firing in a time step (%)", "SynOps", "multiply-accumulates")
    yield _table(heading, [*rows, classical, ("all layers", "", "", *_rounded(total[:2]))])
    kinds = (
        "synaptic operations (SynOps)",
        "multiply-accumulates",
        "bytes of parameters read",
        "bytes of membrane potentials read and written",
    )
    energies = total.energies()
    rows = [
        (kind, f"{number:,.0f}", f"{each:g}", f"{energy / 1000:,.2f}")
        for kind, number, each, energy in zip(kinds, total, ENERGIES, energies, strict=True)
    ]
    rows.append(("arithmetic", "", "", f"{(energies.synops + energies.macs) / 1000:,.2f}"))
    rows.append(("arithmetic and memory", "", "", f"{sum(energies) / 1000:,.2f}"))
    yield "<br>"
    yield _table(("operation", "number", "energy of each (pJ)", "energy (nJ)"), rows)
    yield _paragraph(_ASSUMPTIONS)


_ASSUMPTIONS = (
    "Means over the test images. These are estimates by SpikingJelly's counters, no measurements. A "
    "spike costs an addition for each weight that it meets, and reads that weight; inputs that are "
    "no spikes, such as averages over pixels, cost multiplications. Each membrane potential is read "
    "and written once in a time step. The energies are SpikingJelly's defaults for 32-bit floating "
    "point in 45 nm CMOS (Horowitz, ISSCC 2014, doi 10.1109/ISSCC.2014.6757323), and 3.12 pJ for "
    "each bit of memory traffic (as in STEP, openreview SzwU2XrXIS). Not counted: batch "
    "normalisation, which can be folded into the convolutions; pooling; the neurons' own additions; "
    "and the quantum circuit."
)


def _rounded(numbers: Iterable[float]) -> Iterator[str]:
    return (f"{number:,.0f}" for number in numbers)


def _notes(trained: TrainedRun) -> Iterator[str]:
    """A sentence for each picture that is left out."""
    if trained.circuit is None:
        yield _paragraph(
            "Without a circuit there is no drawing of it, and no histogram of its weights."
        )
    if not _recorded_parts(trained):
        yield _paragraph("This run has recorded no norms of gradients.")


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _options(trained: TrainedRun) -> Iterator[tuple[str, str]]:
    return ((name, json.dumps(value)) for name, value in flat(as_plain(trained.options)).items())


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; }}
h2 {{ font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 0.2rem 1.2rem 0.2rem 0; text-align: left; border-bottom: 1px solid #eee; }}
.numbers :is(th, td):not(:first-child) {{ text-align: right; font-variant-numeric: tabular-nums; }}
figure {{ margin: 2rem 0; }}
img {{ max-width: 100%; }}
figcaption {{ color: #555; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "numbers") -> str:
    """A table of "numbers", which stand to the right in all columns but the first, or of "words"."""
    lines = [f'<table class="{kind}">', _row("th", heading), *(_row("td", row) for row in rows)]
    return "\n".join([*lines, "</table>"])


def _row(element: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{element}>{escape(cell)}</{element}>' for cell in cells)}</tr>"


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    caption = escape(picture.caption)
    return (
        f'<figure>\n<img alt="{caption}" src="data:image/png;base64,{data}">\n'
        f"<figcaption>{caption}</figcaption>\n</figure>"
    )
