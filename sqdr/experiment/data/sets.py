"""Image data sets: scikit-learn's digits, torchvision's, one's own folders, others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torch.utils.data import DataLoader, TensorDataset

from sqdr.bounds import MAX_IMAGE_SIZE
from sqdr.experiment.data.folder import ImageFolder, Record
from sqdr.experiment.data.labelled import Images, check_fits
from sqdr.experiment.data.sharing import WHOLE, Place, Share, SharedBatches
from sqdr.experiment.data.torchvision_sets import load_torchvision
from sqdr.experiment.data_names import BUILT_IN, FOLDER, entry_of
from sqdr.experiment.options import DataOptions
from sqdr.images import resized
from sqdr.validation import argument_error

_DIGITS_TEST_SIZE = 360
_DIGITS_SIZE = 16


class ImageData(lightning.LightningDataModule):
    """Training, validation and test images of a data set, in memory.

    The validation images are a stratified part of the training images. Which ones does not depend on
    the seed of the run; nor do the test images of digits and of one's own folders.

    Args:
        options (DataOptions): see there.

    Attributes:
        record (mapping): hash of each file of one's own images; empty for other data sets.
        class_names (list of str): one for each class of the model.
        in_channels (int): channels of an image.
        split_seed (int or None): with which one's own images were divided into training and test.
        place (Place or None): where the first epoch of training goes on.

    Raises:
        ValueError: if an option is out of its domain.
        FileNotFoundError: if the data set is not there and may not be downloaded.
        ImportError: if torchvision is missing, or is a build that does not go with torch.
    """

    def __init__(self, options: DataOptions) -> None:
        super().__init__()
        self.options = options
        self.record: Record = {}
        self.split_seed: int | None = None
        if options.name == FOLDER:
            folder = ImageFolder(options.root)
            self.record = folder.record
            self.split_seed = None if folder.is_divided else options.split_seed
            train, test, names = folder.load(options.image_size, options.split_seed)
        else:
            train, test, names = load_images(options.name, options.root, options.download)
        classes = _checked_classes(options.classes, len(names))
        self.class_names = [names[label] for label in classes]
        train, test = (_keep_classes(split, classes) for split in (train, test))
        _check_images(train, self.class_names, "training")
        _check_images(test, self.class_names, "test")
        self.in_channels = train.images.shape[1]
        _check_fraction(options.validation_fraction, train.labels)
        train, validation = _stratified_split(train, options.validation_fraction)
        self._check_shape(train, test)
        self._check_fits(train, validation, test)
        self.train, self.validation, self.test = map(self._resized, (train, validation, test))
        self.place: Place | None = None

    @property
    def batch_size(self) -> int:
        """Images in a training step, of all processes together."""
        return min(self.options.batch_size, len(self.train.labels))

    def double(self) -> None:
        """Keep the images in float64, for models of this precision."""
        self.train, self.validation, self.test = (
            split._replace(images=split.images.double())
            for split in (self.train, self.validation, self.test)
        )

    def train_dataloader(self) -> DataLoader[Any]:
        # Batch normalisation follows its last batches closely (momentum sqrt(0.1)), so a small last one
        # would spoil the statistics that validation uses.
        dataset = TensorDataset(*self.train)
        batches = SharedBatches(dataset, self.batch_size, self._share, self.place)
        return DataLoader(dataset, batch_sampler=batches)

    def val_dataloader(self) -> DataLoader[Any]:
        dataset = TensorDataset(*map(self._share.of, self.validation))
        return DataLoader(dataset, 4 * self.options.batch_size)

    def test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(*self.test), 4 * self.options.batch_size)

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], _: int) -> tuple[Tensor, Tensor]:
        images, labels = batch
        if self.trainer is not None and self.trainer.training:
            images = augment(images, self.options.augmentation, self._share)
        return images, labels

    @property
    def _share(self) -> Share:
        if self.trainer is None:
            return WHOLE
        return Share(self.trainer.global_rank, self.trainer.world_size)

    @property
    def _image_size(self) -> int | None:
        return self.options.image_size or (_DIGITS_SIZE if self.options.name == "digits" else None)

    def _check_shape(self, *splits: Images) -> None:
        """Accept only squares of one size, as which a trained model takes all images."""
        if self._image_size is not None:
            return
        sizes = {tuple(split.images.shape[2:]) for split in splits}
        height, width = sizes.pop()
        if sizes or height != width or height > MAX_IMAGE_SIZE:
            must = f"be given unless images are squares of at most {MAX_IMAGE_SIZE:,}"
            raise argument_error("image_size", must, f"they have {height} x {width} pixels")

    def _check_fits(self, *splits: Images) -> None:
        """Accept an image size with which all images fit into memory."""
        size = self._image_size
        if size is not None and self.options.name != FOLDER:  # which resizes as it reads
            n_bytes = 4 * sum(len(split.labels) for split in splits) * self.in_channels * size**2
            check_fits("image_size", "be one with which the images fit into memory", f"{size}", n_bytes)

    def _resized(self, split: Images) -> Images:
        return Images(resized(split.images, self._image_size), split.labels)


def load_images(name: str, root: Path, download: bool) -> tuple[Images, Images, list[str]]:
    """Training images, test images and class names of a data set.

    A data set of another distribution is a function that takes `root` and `download` and returns the
    same: two pairs of images (n, channels, height, width), floating-point in [0, 1], and labels (n,),
    integers from 0, and the names of the classes.

    Args:
        name (str): as in `DataOptions`.
        root (Path): folder of torchvision's data sets.
        download (bool): whether a missing one may be downloaded.
    """
    if name not in BUILT_IN:
        return _of_another(name, root, download)
    if name == "digits":
        images, labels = load_digits(return_X_y=True)
        images = torch.as_tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
        digits = Images(images, torch.as_tensor(labels))
        names = [str(digit) for digit in range(10)]
        return *_stratified_split(digits, _DIGITS_TEST_SIZE), names
    return load_torchvision(name, root, download)


def _of_another(name: str, root: Path, download: bool) -> tuple[Images, Images, list[str]]:
    """A data set of another distribution, checked, whose faults are said to be its own."""
    entry = entry_of(name)
    try:
        (images, labels), (test_images, test_labels), names = entry.load()(root, download)
        train = _checked_images(images, labels, len(names))
        test = _checked_images(test_images, test_labels, len(names))
        return train, test, [str(class_name) for class_name in names]
    except Exception as error:  # whatever another's function raises
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise ValueError(f"Data set {name} ({entry.value}) cannot be read: {reason}") from error


def _checked_images(images: Tensor, labels: Tensor, n_classes: int) -> Images:
    """Images and labels of a data set, in float32 and int64."""
    if images.dim() != 4 or not images.is_floating_point() or labels.shape != images.shape[:1]:
        shapes = f"{tuple(images.shape)} {images.dtype} and {tuple(labels.shape)}"
        raise ValueError(f"images must be (n, channels, height, width) and labels (n,), not {shapes}")
    if len(labels) == 0 or not ((images >= 0) & (images <= 1)).all():
        raise ValueError("there must be images, with values in [0, 1]")
    if not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(f"its labels are not all from 0 to {n_classes - 1}")
    return Images(images.float(), labels.long())


def augment(images: Tensor, augmentation: str, share: Share = WHOLE) -> Tensor:
    """Randomly changed images, each in its own way, from torch's default random generator.

    Args:
        images (Tensor of shape (batch, channels, height, width)): in [0, 1].
        augmentation (str): as in `DataOptions`.
        share (Share): of which batch the images are which part. Default: a whole one.
    """
    match augmentation:
        case "flip":
            flipped = share.random(images).reshape(-1, 1, 1, 1) < 0.5
            return torch.where(flipped, images.flip(-1), images)
        case "affine":
            return _random_affine(images, share)
    return images


def _random_affine(images: Tensor, share: Share) -> Tensor:
    """Rotated by up to 10 degrees, zoomed by up to a tenth, shifted by up to a sixteenth of the side.

    All at once: torchvision's transforms draw one change for a whole batch.
    """

    def draw(most: float) -> Tensor:
        return most * (2 * share.random(images) - 1)

    angle, zoom = draw(math.radians(10)), 1 + draw(0.1)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    shift_x, shift_y = draw(1 / 8), draw(1 / 8)  # sides have length 2 here
    theta = torch.stack((cos, -sin, shift_x, sin, cos, shift_y), dim=-1).reshape(-1, 2, 3)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, align_corners=False).clamp(0, 1)


def _stratified_split(split: Images, held_out: float) -> tuple[Images, Images]:
    """The images kept and those held out (a fraction or a number of them), the same each time."""
    kept, others = train_test_split(
        np.arange(len(split.labels)),
        test_size=held_out,
        stratify=split.labels.numpy(),
        random_state=0,
    )
    return (
        Images(split.images[kept], split.labels[kept]),
        Images(split.images[others], split.labels[others]),
    )


def _check_images(split: Images, class_names: Sequence[str], part: str) -> None:
    """Accept a part of the data set that has images of every class."""
    counts = split.labels.bincount(minlength=len(class_names)).tolist()
    if missing := [name for name, count in zip(class_names, counts, strict=True) if not count]:
        but = f"there are no {part} images of {', '.join(missing)}"
        raise argument_error("classes", "be classes of which the data set has images", but)
    if part == "training" and 1 in counts:
        must = "be classes of which the data set has images for training and for validation"
        but = f"there is one training image of {class_names[counts.index(1)]}"
        raise argument_error("classes", must, but)


def _check_fraction(fraction: float, labels: Tensor) -> None:
    """Accept a part of the images that has room for each class, as the rest must have too."""
    n_images, n_classes = len(labels), int(labels.bincount().count_nonzero())
    n_held_out = math.ceil(fraction * n_images)
    if not n_classes <= n_held_out <= n_images - n_classes:
        must = f"leave an image of each of the {n_classes} classes to training and to validation"
        raise argument_error("validation_fraction", must, f"is {fraction:g} of {n_images} images")


def _checked_classes(classes: Sequence[int], n_classes: int) -> list[int]:
    if not classes:
        return list(range(n_classes))
    for label in classes:
        if label >= n_classes:
            must = f"be at least two distinct labels from 0 to {n_classes - 1}"
            raise argument_error("classes", must, f"holds {label}")
    return list(classes)


def _keep_classes(split: Images, classes: list[int]) -> Images:
    """Only the images of `classes`, relabelled 0, 1, ... in that order."""
    places = torch.full((1 + max(*classes, int(split.labels.max())),), -1)
    places[classes] = torch.arange(len(classes))
    labels = places[split.labels]
    return Images(split.images[labels >= 0], labels[labels >= 0])
