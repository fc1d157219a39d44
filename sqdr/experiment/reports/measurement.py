"""What a trained model does for the test images: right and wrong answers, spikes, operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from rich.progress import track
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from sqdr.experiment.data.labelled import Images
from sqdr.experiment.reports.energy import Operations, count_operations
from sqdr.experiment.scores import Scores, scores_of
from sqdr.experiment.training.finished import TrainedRun
from sqdr.model import SQDR_CNN
from sqdr.spiking import SpikingEncoder


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


class Examples(NamedTuple):
    """Images, their labels and predicted labels, and spikes (T, n_images, n_neurons) by layer."""

    images: Tensor
    labels: Tensor
    predictions: Tensor
    spikes: dict[str, Tensor]


class Mistakes(NamedTuple):
    """Misclassified images, labels, predicted labels and their probabilities, the surest first."""

    images: Tensor
    labels: Tensor
    predictions: Tensor
    probabilities: Tensor


@dataclass(frozen=True)
class Measurement:
    """What the test images have shown.

    Attributes:
        scores (Scores): of all test images.
        layers (dict of str to Layer): of the spiking front end, from input to output.
        classical (Operations): of the classical rest for one image.
        angles (Tensor of shape (n_images, 3 * n_wires)): that the circuit has read, in radians.
        examples (Examples): one image of each class.
        mistakes (Mistakes): all of them.
    """

    scores: Scores
    layers: dict[str, Layer]
    classical: Operations
    angles: Tensor
    examples: Examples
    mistakes: Mistakes


@torch.no_grad()
def measure_on_test_images(trained: TrainedRun, show_progress: bool = False) -> Measurement:
    """Let a trained model classify the test images, and count what it does for them."""
    model, data = trained.model, trained.data
    n_images = len(data.test.labels)
    angles, logits, classical = [], [], Operations()
    rates: dict[str, list[Tensor]] = {}
    neurons: dict[str, int] = {}
    operations: dict[str, Operations] = {}
    batches = track(data.test_dataloader(), "Test images", disable=not show_progress, transient=True)
    for images, _ in batches:
        with _watched(cast(SpikingEncoder, model.spiking)) as calls:
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
    layers = {
        name: Layer(
            neurons[name],
            float(torch.cat(of_layer).mean()),
            float(torch.cat(of_layer).std(correction=0)),
            operations[name].per_image(n_images),
        )
        for name, of_layer in rates.items()
    }
    all_logits = torch.cat(logits)
    return Measurement(
        scores_of(all_logits, data.test.labels),
        layers,
        classical.per_image(n_images),
        torch.cat(angles),
        _examples(model, data.test, all_logits.argmax(1), len(data.class_names)),
        _mistakes(data.test, all_logits),
    )


def _examples(model: SQDR_CNN, test: Images, predictions: Tensor, n_classes: int) -> Examples:
    """The first test image of each class."""
    chosen = [int((test.labels == label).nonzero()[0]) for label in range(n_classes)]
    with _watched(cast(SpikingEncoder, model.spiking)) as calls:
        model.spiking(test.images[chosen])
    spikes = {name: of_layer[-1].outputs.flatten(2) for name, of_layer in calls.items()}
    return Examples(test.images[chosen], test.labels[chosen], predictions[chosen], spikes)


def _mistakes(test: Images, logits: Tensor) -> Mistakes:
    probabilities, predictions = logits.softmax(1).max(1)
    wrong = (predictions != test.labels).nonzero().flatten()
    order = wrong[probabilities[wrong].argsort(descending=True, stable=True)]
    return Mistakes(test.images[order], test.labels[order], predictions[order], probabilities[order])


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
        elif not isinstance(module, neuron.BaseNode):
            continue

        def keep(module: nn.Module, inputs: tuple[Tensor], outputs: Tensor, name: str = name) -> None:
            calls.setdefault(name, []).append(_Call(module, inputs[0], outputs))

        handles.append(module.register_forward_hook(keep))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
