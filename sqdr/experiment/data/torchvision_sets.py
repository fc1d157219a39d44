"""torchvision's data sets, read from their original files, packed ones too."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from filelock import FileLock

from sqdr.experiment.data.labelled import Images, check_fits


@dataclass(frozen=True)
class _Original:
    """A data set as its authors have published it, and torchvision reads it.

    Args:
        loader: name of its class in torchvision.datasets.
        n_images: for training and test together.
        n_values: of an image.
        files: what is read, as paths below the root; each may be there with .gz behind its name.
        archive: what holds all of them, if there is such a thing.
        split: of EMNIST.
    """

    loader: str
    n_images: int
    n_values: int
    files: Sequence[str]
    archive: str | None = None
    split: str | None = None


def _idx(folder: str, *parts: str, labels: str = "labels-idx1-ubyte") -> list[str]:
    """Files in the format of MNIST."""
    pairs = product(parts, ("images-idx3-ubyte", labels))
    return [f"{folder}/raw/{part}-{file}" for part, file in pairs]


def _like_mnist(loader: str) -> _Original:
    return _Original(loader, 70_000, 28 * 28, _idx(loader, "train", "t10k"))


def _emnist(split: str, n_images: int) -> _Original:
    files = _idx("EMNIST", f"emnist-{split}-train", f"emnist-{split}-test")
    return _Original("EMNIST", n_images, 28 * 28, files, split=split)


_QMNIST = _idx("QMNIST", "qmnist-train", "qmnist-test", labels="labels-idx2-int")
_ORIGINALS = {
    "mnist": _like_mnist("MNIST"),
    "fashion-mnist": _like_mnist("FashionMNIST"),
    "kmnist": _like_mnist("KMNIST"),
    "qmnist": _Original("QMNIST", 120_000, 28 * 28, _QMNIST),
    "emnist-balanced": _emnist("balanced", 131_600),
    "emnist-byclass": _emnist("byclass", 814_255),
    "emnist-bymerge": _emnist("bymerge", 814_255),
    "emnist-digits": _emnist("digits", 280_000),
    "emnist-letters": _emnist("letters", 145_600),
    "emnist-mnist": _emnist("mnist", 70_000),
    "usps": _Original("USPS", 9_298, 16 * 16, ["usps.bz2", "usps.t.bz2"]),
    "svhn": _Original("SVHN", 99_289, 3 * 32 * 32, ["train_32x32.mat", "test_32x32.mat"]),
    "cifar10": _Original(
        "CIFAR10", 60_000, 3 * 32 * 32, ["cifar-10-batches-py"], "cifar-10-python.tar.gz"
    ),
    "cifar100": _Original(
        "CIFAR100", 60_000, 3 * 32 * 32, ["cifar-100-python"], "cifar-100-python.tar.gz"
    ),
}
#: Bytes of a value while images are read and divided: one as in the file, two float32 copies.
_BYTES_PER_VALUE = 9


def load_torchvision(name: str, root: Path, download: bool) -> tuple[Images, Images, list[str]]:
    """Training images, test images and class names of one of torchvision's data sets.

    Args:
        name (str): one of `sqdr.experiment.data_names.TORCHVISION`.
        root (Path): folder of its files, or of folders of them, as torchvision lays them out. Nothing
            is written there unless it is downloaded.
        download (bool): whether a missing one may be downloaded.

    Raises:
        ValueError: if it is damaged, or does not fit into memory.
        FileNotFoundError: if it is not there and may not be downloaded.
        ImportError: if torchvision is missing, or is a build that does not go with torch.
    """
    original = _ORIGINALS[name]
    loader = getattr(_torchvision_datasets(), original.loader)
    n_bytes = _BYTES_PER_VALUE * original.n_images * original.n_values
    check_fits("name", "name a data set that fits into memory", name, n_bytes)
    lacks = "nothing"
    try:
        with _download_lock(root) if download else nullcontext(), _unpacked(original, root) as there:
            lacks = next((file for file in original.files if not (there / file).exists()), "nothing")
            train, test = (
                loader(there, download=download, **_part(original, is_train))
                for is_train in (True, False)
            )
        names = _class_names(original, train)
        n_classes = len(names)
        return _as_images(train, original, n_classes), _as_images(test, original, n_classes), names
    except Exception as error:  # torchvision's readers raise whatever their parsers meet
        is_missing = isinstance(error, FileNotFoundError) or "not found" in str(error)
        if is_missing and lacks != "nothing" and not download:
            raise FileNotFoundError(
                f"Data set {name} is not in {root}: allow its download with --data.download true, "
                "or name its folder with --data.root."
            ) from error
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ValueError(f"Data set {name} in {root} cannot be read: {reason}") from error


def _torchvision_datasets() -> Any:
    try:
        from torchvision import datasets
    except RuntimeError as error:  # "operator torchvision::nms does not exist"
        raise ImportError(
            "torchvision does not go with this build of torch: install both from one source, "
            "for instance with pip install --force-reinstall torch torchvision"
        ) from error
    return datasets


def _download_lock(root: Path) -> AbstractContextManager[object]:
    """Lets one process at a time download; no lock for a folder that nothing can be written into."""
    root.mkdir(parents=True, exist_ok=True)
    return FileLock(root / "download.lock") if os.access(root, os.W_OK) else nullcontext()


@contextmanager
def _unpacked(original: _Original, root: Path) -> Iterator[Path]:
    """The root, or a temporary one with the files unpacked, where all are there and some are packed."""
    files = {file: _plain_or_packed(root / file) for file in original.files}
    archive = root / (original.archive or "")
    is_archive = not all(files.values()) and original.archive is not None and archive.is_file()
    if not is_archive and (not all(files.values()) or all(f == root / n for n, f in files.items())):
        yield root
        return
    with TemporaryDirectory(prefix="sqdr-") as temporary:
        there = Path(temporary)
        if is_archive:
            _unpack_archive(archive, there)
        else:
            for name, file in files.items():
                assert file is not None
                (there / name).parent.mkdir(parents=True, exist_ok=True)
                if file == root / name:
                    (there / name).symlink_to(file.absolute())
                else:
                    _unpack(file, there / name)
        yield there


def _plain_or_packed(file: Path) -> Path | None:
    """The file, or that of its name and .gz beside it or in the folder gzip (of EMNIST's archive)."""
    packed = f"{file.name}.gz"
    places = file, file.with_name(packed), file.parent / "gzip" / packed
    return next((place for place in places if place.exists()), None)


def _unpack(packed: Path, plain: Path) -> None:
    try:
        with gzip.open(packed) as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{packed} does not unpack: {error}") from error


def _unpack_archive(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise ValueError(f"{archive} does not unpack: {error}") from error


def _part(original: _Original, is_train: bool) -> dict[str, Any]:
    """What tells the class which part to read."""
    if original.loader == "SVHN":
        return {"split": "train" if is_train else "test"}
    return {"train": is_train} | ({"split": original.split} if original.split else {})


def _class_names(original: _Original, dataset: Any) -> list[str]:
    if original.split == "letters":  # torchvision has a class "N/A" before "a"
        return [str(name) for name in dataset.classes[1:]]
    return [str(name) for name in getattr(dataset, "classes", range(10))]


def _as_images(dataset: Any, original: _Original, n_classes: int) -> Images:
    """torchvision keeps grey images as (n, h, w), colour ones as (n, h, w, 3), SVHN's as (n, 3, h, w).

    It does not check that they fit their labels. EMNIST's files hold every image transposed.
    """
    targets = dataset.labels if original.loader == "SVHN" else dataset.targets
    images, labels = torch.as_tensor(dataset.data), torch.as_tensor(targets, dtype=torch.int64)
    if original.loader == "QMNIST":  # beside the class there are the writer and more
        labels = labels[:, 0]
    if images.dim() == 3:
        images = images.unsqueeze(1)
    elif original.loader != "SVHN":
        images = images.permute(0, 3, 1, 2)
    if original.loader == "EMNIST":
        images = images.mT
    if original.split == "letters":
        labels = labels - 1
    if labels.shape != images.shape[:1] or len(labels) == 0:
        raise ValueError(f"there are {len(images)} images and {len(labels)} labels")
    if not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(f"its labels are not all from 0 to {n_classes - 1}")
    return Images(images.float().contiguous().div_(255), labels)
