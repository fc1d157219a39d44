"""Uses of a trained model: the classes of image files, accuracy on other backends and noise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sqdr.experiment.options import DataName, DataOptions, NoiseOptions, build_noise
from sqdr.model import SQDR_CNN
from sqdr.noise import NoiseModel
from sqdr.validation import argument_error, check_integer, check_seed

_MAX_BATCH = 256


@dataclass(frozen=True)
class PredictionOptions:
    """Which model predicts, and how.

    Args:
        model: folder of the model, as in `runs/NAME/model`.
        top: number of classes to print for each image, the most probable first.
        invert: whether to exchange light and dark; digits, mnist, fashion-mnist and kmnist are light on
            dark.
        backend: name of a backend; none stands for the one that the model was trained on.
        seed: of noise that is drawn.
    """

    model: Path
    top: int = 1
    invert: bool = False
    backend: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class EvaluationData:
    """Where the test images are.

    Args:
        name: as for `sqdr train`; none stands for the data set that the model was trained on.
        root: folder of torchvision's data sets.
        download: whether torchvision may download a data set that is not in `root`.
    """

    name: DataName | None = None
    root: Path = Path("datasets")
    download: bool = False


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate a trained model on: each backend with each noise.

    Args:
        model: folder of the model, as in `runs/NAME/model`.
        backends: names of backends; empty stands for the one that the model was trained on.
        noises: each "saved" (what the model was trained with), "none", or a noise, for instance
            {after_rotation: {BitFlip: 0.02}}.
        data: the test images.
        max_images: number of test images, drawn at random but always the same ones; all by default.
        batch_size: images evaluated at a time.
        seed: of noise that is drawn.
    """

    model: Path
    backends: Sequence[str] = ()
    noises: Sequence[Literal["saved", "none"] | NoiseOptions] = ("saved",)
    data: EvaluationData = field(default_factory=EvaluationData)
    max_images: int | None = None
    batch_size: int = 64
    seed: int = 0


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
        ValueError: if an option is out of its domain, or a file of the model or of an image is broken.
        FileNotFoundError: if the model is missing.
        ImportError: if a package that is needed is missing.
    """
    from sqdr.experiment.data.images import read_image, resized
    from sqdr.pretrained.config import read_config

    check_integer("top", options.top, 1)
    check_seed("seed", options.seed)
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
    from rich.progress import Progress

    from sqdr.pretrained.card import noise_in_words
    from sqdr.pretrained.config import read_config

    check_integer("batch_size", options.batch_size, 1)
    check_seed("seed", options.seed)
    if options.max_images is not None:
        check_integer("max_images", options.max_images, 1)
    if not options.noises:
        raise argument_error("noises", "hold at least one noise", "is empty")
    backends = options.backends or [read_config(options.model).arguments["backend"]]
    noises: list[NoiseModel | Literal["saved"] | None] = [
        "saved" if noise == "saved" else None if noise == "none" else build_noise(noise)
        for noise in options.noises
    ]
    models = [SQDR_CNN.from_pretrained(options.model, *p) for p in product(backends, noises)]
    images, labels = _test_images(options)
    rows = []
    with Progress(transient=True, disable=not sys.stdout.isatty()) as progress:
        for number, model in enumerate(models, 1):
            noise = noise_in_words(model.quantum.noise if model.quantum else None)
            batches = zip(*(torch.split(t, options.batch_size) for t in (images, labels)), strict=True)
            backend = str(model.backend)
            title = f"{backend} ({number} of {len(models)})"
            torch.manual_seed(options.seed)
            measured = _measured(model, progress.track(list(batches), description=title))
            rows.append(Evaluation(backend, noise, len(labels), *measured))
    return rows


def _test_images(options: EvaluationOptions) -> tuple[Tensor, Tensor]:
    """Images of the model's classes and size, and their labels."""
    from sqdr.experiment.data.sets import ImageData
    from sqdr.pretrained.config import read_config

    config, where = read_config(options.model), options.data
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
    chosen = order[: options.max_images]
    return data.test.images[chosen], data.test.labels[chosen]


def _measured(model: SQDR_CNN, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, float, float]:
    """Accuracy, mean cross entropy and time in seconds."""
    n_images, n_right, loss = 0, 0, 0.0
    start = time.perf_counter()
    with torch.no_grad():
        for images, labels in batches:
            logits = model(images)
            n_images += len(labels)
            n_right += int((logits.argmax(dim=1) == labels).sum())
            loss += float(cross_entropy(logits, labels, reduction="sum"))
    return n_right / n_images, loss / n_images, time.perf_counter() - start
