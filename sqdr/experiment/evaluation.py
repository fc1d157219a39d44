"""Uses of a trained model: the classes of image files, accuracy on other backends and noise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from rich.progress import Progress
from torch import Tensor

from sqdr.experiment.data.folder import ImageFolder
from sqdr.experiment.data.labelled import Images
from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.data_names import FOLDER
from sqdr.experiment.options import (
    DataOptions,
    EvaluationData,
    EvaluationOptions,
    NoiseOptions,
    PredictionOptions,
    build_noise,
)
from sqdr.experiment.scores import scores_of
from sqdr.images import is_bright_outside
from sqdr.model import SQDR_CNN
from sqdr.noise import Calibration, NoiseModel
from sqdr.pretrained.card import LIGHT_ON_DARK
from sqdr.pretrained.config import CONFIG, PretrainedConfig, read_config
from sqdr.validation import argument_error

_MAX_BATCH = 256


class Prediction(NamedTuple):
    """A class and its probability, in [0, 1]."""

    class_name: str
    probability: float


class ImagePrediction(NamedTuple):
    """The most probable classes of an image file, or why there are none.

    Attributes:
        file: path of the image.
        classes: the most probable first; empty for a file that cannot be read.
        fault: why it cannot be read; empty for one that can.
        is_bright_outside: whether what the model saw is brighter at its border than in its middle.
    """

    file: Path
    classes: list[Prediction]
    fault: str = ""
    is_bright_outside: bool = False


class Evaluation(NamedTuple):
    """A row of the table: accuracy in [0, 1], mean cross entropy in nats, time of all images.

    `error` is the mean distance of expectation values from those without noise, of an evaluation on a
    device.
    """

    backend: str
    noise: str
    n_images: int
    accuracy: float
    cross_entropy: float
    seconds: float
    error: float | None = None


class _Case(NamedTuple):
    """A model to evaluate, and its noise in words."""

    model: SQDR_CNN
    noise: str


class Predictor:
    """A trained model, ready to classify image files.

    Args:
        options (PredictionOptions): see there.

    Attributes:
        is_light_on_dark (bool): whether the model knows images that are light on a dark ground, or
            none of its images are known.

    Raises:
        ValueError: if a file of the model is broken, or its backend cannot be used.
        FileNotFoundError: if the model is missing.
        ImportError: if a package that is needed is missing.
    """

    def __init__(self, options: PredictionOptions) -> None:
        folder = model_folder(options.model)
        self._options = options
        self._config = read_config(folder)
        self._model = SQDR_CNN.from_pretrained(folder, options.backend)
        self._transform = replace(self._model.transform, invert=options.invert)
        self.is_light_on_dark = self._config.data_name in (*LIGHT_ON_DARK, None)
        torch.manual_seed(options.seed)

    def predict(self, files: Iterable[Path]) -> Iterator[ImagePrediction]:
        """The most probable classes of each file, in their order, or why it cannot be read."""
        waiting: list[tuple[Path, Tensor | ValueError]] = []
        for file in files:
            waiting.append((file, self._read(file)))
            if len(waiting) == _MAX_BATCH:
                yield from self._classified(waiting)
                waiting.clear()
        yield from self._classified(waiting)

    def _read(self, file: Path) -> Tensor | ValueError:
        try:
            image = self._transform(file)[None]
        except ValueError as error:
            return error
        if min(image.shape[2:]) < self._model.min_image_size:
            must = f"have height and width of at least {self._model.min_image_size}"
            return argument_error("images", must, f"{file} has {image.shape[2]} x {image.shape[3]}")
        return image

    def _classified(
        self, read: Sequence[tuple[Path, Tensor | ValueError]]
    ) -> Iterator[ImagePrediction]:
        images = [image for _, image in read if isinstance(image, Tensor)]
        # Images of one size go together.
        batches = [torch.cat(images)] if images and self._config.image_size else images
        with torch.no_grad():
            rows = iter([row for batch in batches for row in self._model(batch).softmax(dim=1)])
        for file, image in read:
            if isinstance(image, ValueError):
                yield ImagePrediction(file, [], str(image))
                continue
            probabilities = next(rows)
            values, labels = probabilities.topk(min(self._options.top, len(probabilities)))
            classes = [
                Prediction(self._config.class_names[label], probability)
                for probability, label in zip(values.tolist(), labels.tolist(), strict=True)
            ]
            yield ImagePrediction(file, classes, is_bright_outside=is_bright_outside(image[0]))


def model_folder(path: Path) -> Path:
    """The folder of a model, which that of a finished run holds as `model`.

    Raises:
        ValueError: if it is the folder of a run without a model.
    """
    if (path / "config.yaml").is_file() and not (path / CONFIG).is_file():
        if not (path / "model").is_dir():
            must = "be the folder of a model, or of a finished run that holds one"
            raise argument_error("model", must, f"{path} holds none")
        return path / "model"
    return path


def evaluate(options: EvaluationOptions) -> list[Evaluation]:
    """See `sqdr.experiment.evaluate`."""
    folder = model_folder(options.model)
    config = read_config(folder)
    saved = SQDR_CNN.from_pretrained(folder, "native")  # which has every noise
    torch.manual_seed(options.seed)  # of the generator that copies take over
    if options.device is None:
        cases = _on_backends(saved, options, config.arguments["backend"])
    else:
        cases = _on_device(saved, options, options.device)
    images, labels, *_ = test_images(config, options.data, options.max_images)
    rows: list[Evaluation] = []
    noiseless: Tensor | None = None
    with Progress(transient=True, disable=not sys.stdout.isatty()) as progress:
        for number, (model, noise) in enumerate(cases, 1):
            batches = torch.split(images, options.batch_size)
            backend = str(model.backend)
            title = f"{backend} ({number} of {len(cases)})"
            torch.manual_seed(options.seed)
            start = time.perf_counter()
            with torch.no_grad():
                each = [
                    model.circuit(model.angles(batch))
                    for batch in progress.track(batches, description=title)
                ]
                values = torch.cat(each)
                logits = model.head(values)
            seconds = time.perf_counter() - start
            accuracy, cross_entropy, _ = scores_of(logits, labels)
            noiseless = values if noiseless is None else noiseless
            error = (values - noiseless).abs().mean().item() if options.device is not None else None
            row = backend, noise, len(labels), accuracy, cross_entropy, seconds, error
            rows.append(Evaluation(*row))
    return rows


def _on_backends(saved: SQDR_CNN, options: EvaluationOptions, backend: str) -> list[_Case]:
    """The model on each backend with each noise."""
    cases = []
    for name, noise in product(options.backends or [backend], options.noises):
        model = saved.to_backend(name, **_noise(noise, saved))
        known = (model.quantum and model.quantum.noise) or NoiseModel()
        cases.append(_Case(model, known.in_words()))
    return cases


def _on_device(saved: SQDR_CNN, options: EvaluationOptions, name: str) -> list[_Case]:
    """The model without noise, with the noise of a device's calibration, on the device, and mitigated.

    Raises:
        ValueError: if there is no such device, or it has no place for the circuit.
        MissingPackageError: if Qiskit, Aer or mitiq is needed and not installed.
    """
    circuit = saved.quantum
    assert circuit is not None  # saved models have one
    on_device: dict[str, Any] = {"shots": options.shots, "seed": options.seed, "noise": None}
    layout = list(options.layout) or None
    probe: Any = saved.to_backend("qiskit", device=name, layout=layout, **on_device).quantum
    calibration = Calibration.from_qiskit(probe.backend)
    wires = layout or calibration.best_wires(circuit.n_wires, circuit.pairs)
    noise = calibration.of_circuit(circuit.ansatz, wires)
    on_device |= {"device": probe.backend, "layout": wires}
    measured = f"{name} on qubits {', '.join(map(str, wires))}, {options.shots} shots"
    cases = [
        _Case(saved.to_backend("native", noise=None), "none"),
        _Case(saved.to_backend("native", noise=noise), f"predicted for {name}"),
        _Case(saved.to_backend("qiskit", **on_device), measured),
        _Case(
            saved.to_backend("qiskit", **on_device, invert_readout=True), "the same, readout inverted"
        ),
    ]
    if options.zero_noise is not None:
        mitigated = {"invert_readout": True, "zero_noise": options.zero_noise}
        both = f"the same, readout inverted, {options.zero_noise} extrapolation to no noise"
        cases.append(_Case(saved.to_backend("qiskit", **on_device, **mitigated), both))
    return cases


def _noise(noise: str | NoiseOptions, model: SQDR_CNN) -> dict[str, object]:
    """The arguments of `to_backend` for one of the noises of `EvaluationOptions`."""
    match noise:
        case "saved":
            return {}
        case "none":
            return {"noise": None}
    options = cast(NoiseOptions, noise)
    if model.quantum is not None:
        options = options.of_circuit(model.quantum.ansatz)
    return {"noise": build_noise(options)}


class TestImages(NamedTuple):
    """Images to test a model on.

    Attributes:
        images (Tensor of shape (n, channels, height, width)): in [0, 1].
        labels (integer Tensor of shape (n,)): places in the model's classes.
        places (integer Tensor of shape (n,)): of the images among all test images of these classes.
        name: of the data set.
    """

    images: Tensor
    labels: Tensor
    places: Tensor
    name: str


def test_images(config: PretrainedConfig, where: EvaluationData, max_images: int | None) -> TestImages:
    """Images of the model's classes and size, drawn at random but always the same ones.

    Raises:
        ValueError: if the data set does not fit the model, or none is named.
        FileNotFoundError: if it is missing.
    """
    name = where.name or config.data_name
    if name is None:
        raise argument_error("data.name", "name a data set, since the model names none", "does not")
    if name == FOLDER:
        channels, size = config.arguments["in_channels"], config.image_size
        folder = ImageFolder(where.root)
        test = folder.test_images(config.class_names, channels, size, config.data_split_seed)
    else:
        test = _of_data_set(name, config, where)
    order = torch.randperm(len(test.labels), generator=torch.Generator().manual_seed(0))
    chosen = order[:max_images]
    return TestImages(test.images[chosen], test.labels[chosen], chosen, name)


def _of_data_set(name: str, config: PretrainedConfig, where: EvaluationData) -> Images:
    """All test images of a data set that fits the model."""
    data = ImageData(
        DataOptions(
            name=name,
            root=where.root,
            download=where.download,
            classes=config.data_classes,
            image_size=config.image_size,
        )
    )
    n_classes, n_channels = len(config.class_names), config.arguments["in_channels"]
    if (len(data.class_names), data.in_channels) != (n_classes, n_channels):
        raise argument_error(
            "data.name",
            f"name a data set of {n_classes} classes and {n_channels} channels, like the model's",
            f"{name} has {len(data.class_names)} and {data.in_channels}",
        )
    return data.test
