"""One's own images: a folder for each class, in `train` and `test` or split at random."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from sqdr.experiment.data.labelled import Images, check_fits
from sqdr.experiment.data_names import FOLDER
from sqdr.experiment.options import DataOptions
from sqdr.files import whole_file
from sqdr.images import FORMATS, ImageTransform, has_image_name, read_header
from sqdr.validation import argument_error

#: SHA-256 of each image file, by its path below the root.
Record = Mapping[str, str]
#: Files of one class after another.
Classes = Sequence[Sequence[Path]]
Item = TypeVar("Item")
Result = TypeVar("Result")

_PARTS = ("train", "test")
_RECORD = "images.json"
#: Share of the images of a class that is held out for the test where the folder does not say which.
_TEST_FRACTION = 0.2
#: What systems put into folders where they do not hide files by a dot.
_OF_SYSTEMS = {"thumbs.db", "desktop.ini", "icon\r", "__macosx"}
#: Bytes of a value while the images are divided into parts.
_BYTES_PER_VALUE = 8
#: Files that a message names.
_MAX_NAMED = 3


class ImageFolder:
    """The image files of a folder with a folder for each class, found and hashed, but not decoded.

    Args:
        root (Path): holds `train` and `test`, each with a folder for each class; or these folders.

    Attributes:
        class_names (list of str): names of the folders, sorted as texts.
        is_divided (bool): whether there are `train` and `test`.
        record (mapping): the hash of each file.

    Raises:
        ValueError: if there are not two classes or more, one has no images or is not in both parts, a
            file is none of an image, or an image is in two classes or in both parts.
    """

    def __init__(self, root: Path) -> None:
        parts = _parts(root)
        self.class_names = _class_names(root, parts)
        self._root = root
        self.is_divided = len(parts) == len(_PARTS)
        self._parts = {part: [_images_in(folder) for folder in parts[part]] for part in parts}
        files = chain.from_iterable(chain.from_iterable(self._parts.values()))
        self.record: Record = {self._name(file): _hash(file) for file in files}
        self._check_copies()

    def load(self, image_size: int | None, split_seed: int) -> tuple[Images, Images, list[str]]:
        """Training images, test images and class names, as `load_images` gives them.

        Args:
            image_size (int or None): as in `DataOptions`.
            split_seed (int): likewise.

        Raises:
            ValueError: if files are no images, or partly transparent; if sizes differ and there is no
                `image_size`; or if the images do not fit into memory.
        """
        train, test = self._train_and_test(split_seed)
        images = self._read([*chain.from_iterable((*train, *test))], image_size)
        n_training = sum(map(len, train))
        of_train, of_test = images[:n_training], images[n_training:]
        return Images(of_train, _labels(train)), Images(of_test, _labels(test)), self.class_names

    def test_images(
        self, class_names: Sequence[str], channels: int, image_size: int | None, split_seed: int | None
    ) -> Images:
        """Images that a trained model has not seen, labelled by places in its classes.

        Args:
            class_names (sequence of str): classes of the model.
            channels (int): that it takes, 1 or 3.
            image_size (int or None): height and width that it takes.
            split_seed (int or None): with which a folder was divided for its training; None takes all
                images of one that is not in `train` and `test`.

        Raises:
            ValueError: as `load`, or if there is no folder of a class.
        """
        if lacking := [name for name in class_names if name not in self.class_names]:
            but = f"{self._root} has no {_listed(lacking)}"
            raise argument_error("root", "have a folder for each class of the model", but)
        if self.is_divided or split_seed is not None:
            _, classes = self._train_and_test(split_seed or 0)
        else:
            (classes,) = self._parts.values()
        chosen = [classes[self.class_names.index(name)] for name in class_names]
        images = self._read([*chain.from_iterable(chosen)], image_size, channels)
        return Images(images, _labels(chosen))

    def _name(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()

    def _train_and_test(self, split_seed: int) -> tuple[Classes, Classes]:
        """Training and test files of each class.

        Where they have no folders of their own, they are put in an order that depends on the seed and
        on what is in them, so that neither their names nor other files change where one falls.
        """
        if self.is_divided:
            return self._parts["train"], self._parts["test"]
        train, test = [], []
        for name, files in zip(self.class_names, *self._parts.values(), strict=True):
            if len(files) < 3:
                must = "have an image of each class for training, for validation and for the test"
                raise argument_error("root", must, f"{self._root / name} has {len(files)}")
            order = sorted(files, key=lambda file: self._draw(file, split_seed))
            n_test = max(1, round(_TEST_FRACTION * len(order)))
            test.append(sorted(order[:n_test]))
            train.append(sorted(order[n_test:]))
        return train, test

    def _draw(self, file: Path, split_seed: int) -> bytes:
        return hashlib.sha256(f"{split_seed} {self.record[self._name(file)]}".encode()).digest()

    def _read(
        self, files: Sequence[Path], image_size: int | None, channels: int | None = None
    ) -> Tensor:
        """Images (n, channels, height, width), by default in colour if one is."""
        headers = dict(zip(files, _each(read_header, files), strict=True))
        channels = channels or max(header.channels for header in headers.values())
        first = headers[files[0]]
        for file, header in headers.items() if image_size is None else ():
            if (header.height, header.width) != (first.height, first.width):
                but = f"{self._name(files[0])} has {first.height} x {first.width} pixels"
                but += f" and {self._name(file)} {header.height} x {header.width}"
                raise argument_error("image_size", "be given for images of several sizes", but)
        height, width = image_size or first.height, image_size or first.width
        must = "be one with which the images fit into memory"
        n_bytes = _BYTES_PER_VALUE * len(files) * channels * height * width
        check_fits("image_size", must, f"{height} x {width} for {len(files):,} images", n_bytes)
        images = torch.empty(len(files), channels, height, width)
        transform = ImageTransform(channels, image_size)
        _each(lambda place: images[place].copy_(transform(files[place])), range(len(files)))
        return images

    def _check_copies(self) -> None:
        """Refuse images that are in two classes, or both trained and tested on."""
        places = defaultdict(list)
        for part, classes in self._parts.items():
            for name, files in zip(self.class_names, classes, strict=True):
                for file in map(self._name, files):
                    places[self.record[file]].append((part, name, file))
        copies = []
        for part_and_class in places.values():
            if len({place[:2] for place in part_and_class}) > 1:
                copies.append(" = ".join(file for *_, file in part_and_class))
        if copies:
            must = "hold no image in two classes, nor in train and in test"
            raise argument_error("root", must, f"{self._root} holds {_listed(copies)}")


def keep_record(folder: Path, record: Record) -> None:
    """Keep the record of one's own images in a folder, or accept those with which it began.

    Args:
        folder (Path): of a run or study.
        record (mapping): as of `ImageFolder`; nothing happens if it is empty.

    Raises:
        ValueError: if the images are not those whose record the folder has, or this is damaged.
    """
    if not record:
        return
    file = folder / _RECORD
    if not file.exists():
        with whole_file(file) as unfinished:
            unfinished.write_text(json.dumps(record, indent=0), encoding="utf-8")
        return
    try:
        kept = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise argument_error("run", f"hold a whole {_RECORD} or none", f"{file} is damaged") from error
    changes = [f"{name} is new" for name in record if name not in kept]
    changes += [f"{name} is gone" for name in kept if name not in record]
    both = sorted(record.keys() & kept.keys())
    changes += [f"{name} has changed" for name in both if record[name] != kept[name]]
    if changes:
        must = f"hold the images with which {folder} began"
        raise argument_error("root", must, _listed(changes))


def record_of(data: DataOptions) -> Record:
    """The record of one's own images, empty for other data; ValueError as of `ImageFolder`."""
    return ImageFolder(data.root).record if data.name == FOLDER else {}


def _parts(root: Path) -> dict[str, list[Path]]:
    """Folders of classes, sorted by name, by their part; the one part of no name for all of them."""
    if not root.is_dir():
        must = "be a folder with a folder of images for each class"
        raise argument_error("root", must, f"there is no folder {root}")
    folders = _folders_in(root)
    found = [folder.name for folder in folders]
    if not set(_PARTS).issubset(found):
        for part in _PARTS:
            if part in found and any(path.is_dir() for path in _visible(root / part)):
                raise argument_error("root", "hold both train and test", f"{root} has {part} alone")
        return {"": folders}
    if others := [name for name in found if name not in _PARTS]:
        must = "hold train and test, and no other folder beside them"
        raise argument_error("root", must, f"{root / others[0]} is one")
    return {part: _folders_in(root / part) for part in _PARTS}


def _folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name; loose images beside them would be lost."""
    inside = _visible(folder)
    for path in inside:
        if has_image_name(path) and not path.is_dir():
            raise argument_error("root", "have each image in the folder of its class", f"{path} is not")
    return [path for path in inside if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted by name, without hidden files and those of systems."""
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in _OF_SYSTEMS
    )


def _class_names(root: Path, parts: Mapping[str, Sequence[Path]]) -> list[str]:
    """The names of the classes, the same in all parts."""
    by_part = {part: [folder.name for folder in folders] for part, folders in parts.items()}
    if len(by_part) > 1:
        for part, other in (_PARTS, _PARTS[::-1]):
            if lacking := [name for name in by_part[other] if name not in by_part[part]]:
                but = f"{root / part} has no {_listed(lacking)}, which {root / other} has"
                raise argument_error("root", "have the same classes in train and test", but)
    names = next(iter(by_part.values()))
    for name in names:
        if not name.isprintable():
            raise argument_error("root", "have printable names of classes", f"one is {name!r}")
    if len(names) < 2:
        but = f"{root} holds {', '.join(names) or 'none'}"
        raise argument_error("root", "hold a folder of images for each of two classes or more", but)
    return names


def _images_in(folder: Path) -> list[Path]:
    """The image files of a class, sorted by name."""
    files = _visible(folder)
    if not files:
        raise argument_error("root", "have images of each class", f"{folder} holds none")
    for file in files:
        if not file.is_file() or not has_image_name(file):
            must = f"hold nothing but image files ({', '.join(FORMATS)}) in the folders of classes"
            raise argument_error("root", must, f"{file} is {'a folder' if file.is_dir() else 'none'}")
    return files


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _each(read: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What is read of each file; ValueError, one for all files, if something is wrong with any."""
    found, faults = [], []
    for item in items:
        try:
            found.append(read(item))
        except ValueError as error:
            faults.append(error)
    if not faults:
        return found
    if len(faults) == 1:
        raise faults[0]
    texts = [str(fault).partition(", but ")[2].rstrip(".") for fault in faults]
    must = f"name image files ({', '.join(FORMATS)})"
    but = f"{len(faults)} of {len(items):,} are none: {_listed(texts, '; ')}"
    raise argument_error("images", must, but) from faults[0]


def _listed(texts: Sequence[str], separator: str = ", ") -> str:
    """The first of them, and how many more there are."""
    shown = separator.join(texts[:_MAX_NAMED])
    n_more = len(texts) - _MAX_NAMED
    return f"{shown} and {n_more:,} more" if n_more > 0 else shown


def _labels(classes: Iterable[Sequence[Path]]) -> Tensor:
    return torch.tensor([label for label, files in enumerate(classes) for _ in files])
