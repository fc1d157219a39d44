"""Uses of a trained model: the classes of image files, accuracy on other backends and noise."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple, cast

import torch
from rich.progress import Progress
from torch import Tensor

from sqdr.experiment.data.images import read_image, resized
from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.options import (
    DataName,
    DataOptions,
    EvaluationData,
    EvaluationOptions,
    NoiseOptions,
    PredictionOptions,
    build_noise,
)
from sqdr.experiment.scores import scores_of
from sqdr.model import SQDR_CNN
from sqdr.noise import NoiseModel
from sqdr.pretrained.config import PretrainedConfig, read_config
from sqdr.validation import argument_error

_MAX_BATCH = 256


class Prediction(NamedTuple):
    """A class and its probability, in [0, 1]."""

    class_name: str
    probability: float


class Evaluation(NamedTuple):
    """A row of the table: accuracy in [0, 1], mean cross entropy in nats, time of all images."""

    backend: str
    noise: str
    n_images: int
    accuracy: float
    cross_entropy: float
    seconds: float


def predict(files: Sequence[Path], options: PredictionOptions) -> list[list[Prediction]]:
    """The most probable classes of each image file, the most probable first.

    Raises:
        ValueError: if a file of the model or of an image is broken.
        FileNotFoundError: if the model is missing.
        ImportError: if a package that is needed is missing.
    """
    config = read_config(options.model)
    model = SQDR_CNN.from_pretrained(options.model, options.backend)
    pictures = [read_image(file, model.in_channels, options.invert) for file in files]
    images = [resized(picture[None], config.image_size) for picture in pictures]
    # Images of one size go together.
    batches = torch.split(torch.cat(images), _MAX_BATCH) if config.image_size else images
    torch.manual_seed(options.seed)
    with torch.no_grad():
        probabilities = torch.cat([model(batch).softmax(dim=1) for batch in batches])
    top = probabilities.topk(min(options.top, probabilities.shape[1]))
    return [
        [Prediction(config.class_names[i], p) for p, i in zip(*row, strict=True)]
        for row in zip(top.values.tolist(), top.indices.tolist(), strict=True)
    ]


def evaluate(options: EvaluationOptions) -> list[Evaluation]:
    """One row for each backend and noise, all on the same test images.

    Raises:
        ValueError: if an option is out of its domain, a backend cannot simulate a noise, the test
            images do not fit the model, or a file of the model is broken.
        FileNotFoundError: if the model or the data set is missing.
        ImportError: if a package that is needed is missing.
    """
    config = read_config(options.model)
    saved = SQDR_CNN.from_pretrained(options.model, "native")  # which has every noise
    backends = options.backends or [config.arguments["backend"]]
    torch.manual_seed(options.seed)  # of the generator that copies take over
    models = [
        saved.to_backend(backend, **_noise(noise))
        for backend, noise in product(backends, options.noises)
    ]
    images, labels = _test_images(config, options.data, options.max_images)
    rows = []
    with Progress(transient=True, disable=not sys.stdout.isatty()) as progress:
        for number, model in enumerate(models, 1):
            batches = torch.split(images, options.batch_size)
            backend = str(model.backend)
            title = f"{backend} ({number} of {len(models)})"
            torch.manual_seed(options.seed)
            start = time.perf_counter()
            with torch.no_grad():
                logits = torch.cat([model(b) for b in progress.track(batches, description=title)])
            seconds = time.perf_counter() - start
            accuracy, cross_entropy, _ = scores_of(logits, labels)
            noise = (model.quantum and model.quantum.noise) or NoiseModel()
            row = backend, noise.in_words(), len(labels), accuracy, cross_entropy, seconds
            rows.append(Evaluation(*row))
    return rows


def _noise(noise: str | NoiseOptions) -> dict[str, object]:
    """The arguments of `to_backend` for one of the noises of `EvaluationOptions`."""
    match noise:
        case "saved":
            return {}
        case "none":
            return {"noise": None}
    return {"noise": build_noise(cast(NoiseOptions, noise))}


def _test_images(
    config: PretrainedConfig, where: EvaluationData, max_images: int | None
) -> tuple[Tensor, Tensor]:
    """Images of the model's classes and size, and their labels."""
    name = where.name or config.data_name
    if name is None:
        raise argument_error("data.name", "name a data set, since the model names none", "does not")
    data = ImageData(
        DataOptions(
            name=cast(DataName, name),
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
    order = torch.randperm(len(data.test.labels), generator=torch.Generator().manual_seed(0))
    chosen = order[:max_images]
    return data.test.images[chosen], data.test.labels[chosen]
