"""The pictures of a report: which ones a run has, their captions, and their files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from sqdr.ansatz import Ansatz
from sqdr.experiment import plots
from sqdr.experiment.reports.measurement import Examples, Measurement, Mistakes
from sqdr.experiment.training.finished import TrainedRun
from sqdr.experiment.training.monitoring import PARTS, gradient_norm_name

#: Pictures that not every run has.
NOT_ALWAYS = {"mistakes", "circuit", "gradient_norms"}
#: Those that are drawn as wide as the page, and moved sideways on a phone.
_WIDE = {"spikes", "circuit"}
#: Misclassified images that are shown.
_MAX_MISTAKES = 20


class Picture(NamedTuple):
    """A picture, its file's name without ending, and what it shows, in a sentence or two."""

    name: str
    caption: str
    png: bytes

    @property
    def is_wide(self) -> bool:
        return self.name in _WIDE


def draw_pictures(trained: TrainedRun, measured: Measurement) -> list[Picture]:
    """The pictures of a report, those left out that the run has nothing for."""
    return [
        Picture(name, caption, _as_png(figure)) for name, caption, figure in _figures(trained, measured)
    ]


def recorded_parts(trained: TrainedRun) -> list[str]:
    """The parts whose gradients the run has recorded."""
    return [part for part in PARTS if gradient_norm_name(part) in trained.rows[0]]


def _figures(trained: TrainedRun, measured: Measurement) -> Iterator[tuple[str, str, Figure]]:
    names, circuit = trained.data.class_names, trained.circuit
    smoothing = trained.options.label_smoothing
    smoothed = f" with label smoothing {smoothing:g}" if smoothing else ""
    yield (
        "curves",
        f"Loss (cross entropy{smoothed}) and accuracy on training and validation images. "
        f"The weights are those of epoch {trained.best_epoch + 1}, with the lowest validation loss.",
        plots.curves(trained.rows, trained.best_epoch),
    )
    yield (
        "confusion",
        "Test images by true and predicted class.",
        plots.confusion_matrix(measured.scores.confusion.tolist(), names),
    )
    if len(measured.mistakes.labels):
        yield _mistakes(measured.mistakes, names)
    yield (
        "spikes",
        "The first test image of each class and the spikes that it causes, layer by layer, of neurons "
        "that fire for any of these images; the predicted class stands below where it is wrong.",
        _raster(measured.examples, names),
    )
    yield (
        "firing_rates",
        "Share of neurons that fire in a time step, mean over the test images; bars are the standard "
        "deviation over images.",
        plots.firing_rates({name: (of.rate, of.deviation) for name, of in measured.layers.items()}),
    )
    if circuit is not None:
        yield (
            "circuit",
            _caption_of(circuit.ansatz),
            plots.circuit(circuit.ansatz, circuit.noise),
        )
    yield _angles(trained, measured)
    if parts := recorded_parts(trained):
        norms = {part: [row[gradient_norm_name(part)] for row in trained.rows] for part in parts}
        yield (
            "gradient_norms",
            "Euclidean norm of the gradient of each part, mean over the steps of an epoch.",
            plots.gradient_norms(norms),
        )


def _caption_of(ansatz: Ansatz) -> str:
    caption = "The circuit. Gates take an angle for each rotation, x from the data and w trained"
    if ansatz.scaling:
        caption += ", s being trained factors"
    dots = "dots is a CZ" if ansatz.entangler == "CZ" else "squares is a ZZ with a trained angle"
    caption += f"; a line with two {dots}."
    if "ZYZ" in (ansatz.encoding, ansatz.rotation):
        caption += " Rot is RZ, RY and RZ."
    return caption


def _mistakes(mistakes: Mistakes, names: Sequence[str]) -> tuple[str, str, Figure]:
    shown = Mistakes(*(of_all[:_MAX_MISTAKES] for of_all in mistakes))
    n_mistakes, n_shown = len(mistakes.labels), len(shown.labels)
    which = f"{n_shown} of {n_mistakes:,}" if n_mistakes > n_shown else f"The {n_shown}"
    true, predicted = ([names[i] for i in of] for of in (shown.labels, shown.predictions))
    return (
        "mistakes",
        f"{which} misclassified test images, those with the highest probability of the wrong class "
        "first: true class → predicted class, and its probability.",
        plots.mistakes(shown.images.numpy(), true, predicted, shown.probabilities.tolist()),
    )


def _raster(examples: Examples, names: Sequence[str]) -> Figure:
    spikes = {name: of_layer.numpy() for name, of_layer in examples.spikes.items()}
    true, predicted = (
        [names[label] for label in labels] for labels in (examples.labels, examples.predictions)
    )
    return plots.spike_raster(examples.images.numpy(), spikes, true, predicted)


def _angles(trained: TrainedRun, measured: Measurement) -> tuple[str, str, Figure]:
    caption = "Angles that the firing rates of the test images become."
    weights = None
    if trained.circuit is not None and trained.initial_weights is not None:
        caption += " Below them, the circuit's weights before and after training."
        weights = trained.initial_weights.numpy(), trained.circuit.weights.detach().numpy()
    return "angles", caption, plots.angles(measured.angles.numpy(), weights)


def _as_png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
