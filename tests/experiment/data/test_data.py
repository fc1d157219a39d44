"""Data sets: the bundled digits, torchvision's loaders on files in their own formats, augmentation."""

import gzip
import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout

from sqdr.experiment.data.sets import ImageData, augment, load_images
from sqdr.experiment.options import DataOptions

IDX_FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}


def write_idx(file, array):
    """The format of the MNIST family: two zero bytes, type, rank, big-endian sizes, data."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    file.write_bytes(header + array.tobytes())


def write_mnist(raw):
    """40 training and 20 test images of 10 classes."""
    raw.mkdir(parents=True)
    for part, n in (("train", 40), ("t10k", 20)):
        images = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8) % 10)


@pytest.fixture
def write_data_set(tmp_path, monkeypatch):
    """Writes a data set as torchvision downloads it: 40 training and 20 test images of 10 classes."""
    generator = np.random.default_rng(0)
    labels = {"train": np.arange(40, dtype=np.uint8) % 10, "test": np.arange(20, dtype=np.uint8) % 10}

    def write(name):
        if name == "cifar10":
            return write_cifar10()
        raw = tmp_path / IDX_FOLDERS[name] / "raw"
        raw.mkdir(parents=True)
        images = {}
        for part, prefix in (("train", "train"), ("test", "t10k")):
            images[part] = generator.integers(0, 256, (len(labels[part]), 28, 28), dtype=np.uint8)
            write_idx(raw / f"{prefix}-images-idx3-ubyte", images[part])
            write_idx(raw / f"{prefix}-labels-idx1-ubyte", labels[part])
        return {part: array[:, None] for part, array in images.items()}, labels

    def write_cifar10():
        from torchvision.datasets import CIFAR10

        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()
        images = {
            part: generator.integers(0, 256, (len(labels[part]), 3, 32, 32), dtype=np.uint8)
            for part in labels
        }

        def write_batch(name, content):
            (folder / name).write_bytes(pickle.dumps(content))
            return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

        entries = {
            part: write_batch(
                part, {"data": images[part].reshape(-1, 3072), "labels": labels[part].tolist()}
            )
            for part in labels
        }
        names = [f"class {i}" for i in range(10)]
        meta = write_batch("batches.meta", {"label_names": names})
        monkeypatch.setattr(CIFAR10, "train_list", [entries["train"]])
        monkeypatch.setattr(CIFAR10, "test_list", [entries["test"]])
        monkeypatch.setattr(
            CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]}
        )
        return images, labels

    return write


@pytest.mark.parametrize("name", [*IDX_FOLDERS, "cifar10"])
def test_torchvision_reads_its_own_formats(name, write_data_set, tmp_path):
    images, labels = write_data_set(name)
    train, test, class_names = load_images(name, tmp_path, download=False)
    assert len(class_names) == 10
    for split, part in ((train, "train"), (test, "test")):
        torch.testing.assert_close(split.images, torch.as_tensor(images[part]).float() / 255)
        assert split.labels.tolist() == labels[part].tolist()


@pytest.mark.parametrize("name", [*IDX_FOLDERS, "cifar10"])
def test_a_missing_data_set_says_what_to_do(name, tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        load_images(name, tmp_path, download=False)
    assert str(raised.value) == (
        f"Data set {name} is not in {tmp_path}: allow its download with --data.download true, "
        "or name its folder with --data.root."
    )
    assert not list(tmp_path.iterdir())


def test_one_process_downloads_at_a_time(tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    def download(images):
        with pytest.raises(Timeout):
            FileLock(tmp_path / "new" / "download.lock").acquire(blocking=False)
        if images.train:
            write_mnist(tmp_path / "new" / "MNIST" / "raw")

    monkeypatch.setattr(MNIST, "download", download)
    train, test, _ = load_images("mnist", tmp_path / "new", download=True)
    assert (len(train.labels), len(test.labels)) == (40, 20)
    with FileLock(tmp_path / "new" / "download.lock", blocking=False):
        pass


def test_nothing_is_written_beside_images_that_are_there(tmp_path, monkeypatch):
    """As on a disk that can only be read."""
    write_mnist(tmp_path / "MNIST" / "raw")
    monkeypatch.setattr("os.access", lambda *_: False)
    load_images("mnist", tmp_path, download=True)
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


def test_an_archive_left_by_torchvision_is_not_enough(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"whatever"))
    with pytest.raises(FileNotFoundError, match="Data set mnist is not in"):
        load_images("mnist", tmp_path, download=False)


def test_a_torchvision_of_another_build_says_what_to_do(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("builtins.__import__", _failing_import("torchvision", fail))
    with pytest.raises(ImportError, match="torchvision does not go with this build of torch"):
        load_images("mnist", tmp_path, download=False)


def _failing_import(package, fail):
    original = __import__

    def replacement(name, *arguments, **options):
        return (fail if name == package else original)(name, *arguments, **options)

    return replacement


def test_digits_are_scikit_learn_s_images():
    train, test, names = load_images("digits", None, download=False)
    assert train.images.shape == (1437, 1, 8, 8)
    assert test.images.shape == (360, 1, 8, 8)
    assert names == list("0123456789")
    assert train.images.min() == 0
    assert train.images.max() == 1
    counts = torch.bincount(test.labels)
    assert counts.min() >= 35
    assert counts.max() <= 37


def test_the_split_is_disjoint_complete_and_fixed():
    data, again = ImageData(DataOptions()), ImageData(DataOptions())
    rows = torch.cat([part.images.flatten(1) for part in (data.train, data.validation, data.test)])
    assert len(rows) == 1797
    assert len(rows.unique(dim=0)) == 1797
    assert len(data.validation.labels) == 144
    assert torch.equal(data.train.images, again.train.images)
    assert torch.bincount(data.validation.labels).min() >= 14


@pytest.mark.parametrize(("image_size", "expected"), [(None, 16), (8, 8), (12, 12)])
def test_image_size(image_size, expected):
    data = ImageData(DataOptions(image_size=image_size))
    assert data.test.images.shape == (360, 1, expected, expected)
    assert 0 <= data.test.images.min() <= data.test.images.max() <= 1


def test_classes_are_relabelled_in_their_order():
    data = ImageData(DataOptions(classes=(7, 2)))
    _, test, _ = load_images("digits", None, download=False)
    assert data.class_names == ["7", "2"]
    assert (data.test.labels == 0).sum() == (test.labels == 7).sum()
    assert (data.test.labels == 1).sum() == (test.labels == 2).sum()
    expected = test.images[(test.labels == 7) | (test.labels == 2)]
    data = ImageData(DataOptions(classes=(7, 2), image_size=8))
    assert torch.equal(data.test.images, expected)


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"classes": (3,)}, "classes"),
        ({"classes": (3, 3)}, "classes"),
        ({"classes": (3, 10)}, "classes"),
        ({"batch_size": 0}, "batch_size"),
        ({"image_size": 4}, "image_size"),
        ({"validation_fraction": 1.5}, "validation_fraction"),
        ({"name": "imagenet"}, "name"),
    ],
    ids=str,
)
def test_bad_options(change, argument):
    with pytest.raises(ValueError, match=f"^Argument `{argument}` must"):
        ImageData(replace(DataOptions(), **change))


@pytest.mark.parametrize(
    ("part", "labels"), [("test", {"train": 10, "t10k": 3}), ("training", {"train": 3, "t10k": 10})]
)
def test_classes_without_images_are_found_at_once(part, labels, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, n_classes in labels.items():
        write_idx(raw / f"{name}-images-idx3-ubyte", np.zeros((40, 28, 28), np.uint8))
        write_idx(raw / f"{name}-labels-idx1-ubyte", np.arange(40, dtype=np.uint8) % n_classes)
    there = DataOptions("mnist", tmp_path, classes=(0, 2), validation_fraction=0.5)
    assert len(ImageData(there).class_names) == 2
    with pytest.raises(ValueError, match=rf"^Argument `classes` .* no {part} images of 8 - .*, 3 - "):
        ImageData(replace(there, classes=(8, 2, 3)))


@pytest.mark.parametrize("fraction", [0.01, 0.9])
def test_every_class_trains_and_validates(fraction, tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    with pytest.raises(ValueError, match="validation_fraction") as raised:
        ImageData(DataOptions("mnist", tmp_path, validation_fraction=fraction))
    assert str(raised.value) == (
        "Argument `validation_fraction` must leave an image of each of the 10 classes to training and "
        f"to validation, but is {fraction} of 40 images."
    )


@pytest.mark.parametrize("fraction", [0.25, 0.75])
def test_one_image_of_each_class_is_enough(fraction, tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    data = ImageData(DataOptions("mnist", tmp_path, validation_fraction=fraction))
    for split in (data.train, data.validation):
        assert len(split.labels.unique()) == 10


@pytest.mark.parametrize(("batch_size", "expected"), [(64, [64] * 20), (5000, [1293])])
def test_training_batches_are_full(batch_size, expected):
    data = ImageData(DataOptions(batch_size=batch_size))
    assert [len(labels) for _, labels in data.train_dataloader()] == expected


@pytest.mark.parametrize("augmentation", ["affine", "flip"])
def test_augmentation_changes_images_one_by_one_from_the_seed(augmentation):
    images = load_images("digits", None, download=False)[0].images[:1].expand(20, -1, -1, -1)
    torch.manual_seed(0)
    augmented = augment(images, augmentation)
    torch.manual_seed(0)
    assert torch.equal(augment(images, augmentation), augmented)
    assert augmented.shape == images.shape
    assert 0 <= augmented.min() <= augmented.max() <= 1
    assert len(augmented.flatten(1).unique(dim=0)) == (2 if augmentation == "flip" else 20)


def test_no_augmentation():
    images = torch.rand(3, 1, 8, 8)
    assert augment(images, "none") is images
