"""Data sets: the bundled digits, torchvision's loaders on files in their own formats, augmentation."""

import bz2
import gzip
import hashlib
import pickle
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
import torch
from filelock import FileLock, Timeout
from torchvision.datasets import CIFAR10, CIFAR100, SVHN

from sqdr.experiment.data.sets import ImageData, augment, load_images
from sqdr.experiment.data_names import TORCHVISION
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
        if name in ("cifar10", "cifar100"):
            return write_cifar(name)
        if name in ("svhn", "usps"):
            return {"svhn": write_svhn, "usps": write_usps}[name]()
        if name == "qmnist" or name.startswith("emnist"):
            return write_like_mnist(name)
        raw = tmp_path / IDX_FOLDERS[name] / "raw"
        raw.mkdir(parents=True)
        images = {}
        for part, prefix in (("train", "train"), ("test", "t10k")):
            images[part] = generator.integers(0, 256, (len(labels[part]), 28, 28), dtype=np.uint8)
            write_idx(raw / f"{prefix}-images-idx3-ubyte", images[part])
            write_idx(raw / f"{prefix}-labels-idx1-ubyte", labels[part])
        return {part: array[:, None] for part, array in images.items()}, labels

    def draw(channels, side):
        shape = channels, side, side
        return {
            part: generator.integers(0, 256, (len(of), *shape), np.uint8) for part, of in labels.items()
        }

    def write_like_mnist(name):
        """QMNIST has eight 32-bit numbers for a label; EMNIST's images are transposed."""
        raw = tmp_path / name.partition("-")[0].upper() / "raw"
        raw.mkdir(parents=True)
        images = draw(1, 28)
        for part, of_part in labels.items():
            if name == "qmnist":
                write_idx(raw / f"qmnist-{part}-images-idx3-ubyte", images[part][:, 0])
                others = np.full((len(of_part), 7), 300)
                rows = np.column_stack([of_part, others]).astype(">i4")
                sizes = b"".join(n.to_bytes(4, "big") for n in rows.shape)
                (raw / f"qmnist-{part}-labels-idx2-int").write_bytes(
                    bytes([0, 0, 12, 2]) + sizes + rows.tobytes()
                )
            else:
                transposed = images[part][:, 0].transpose(0, 2, 1).copy()
                write_idx(raw / f"{name}-{part}-images-idx3-ubyte", transposed)
                first = 1 if name == "emnist-letters" else 0
                write_idx(raw / f"{name}-{part}-labels-idx1-ubyte", of_part + np.uint8(first))
        return images, labels

    def write_svhn():
        """Images (height, width, channels, n), and 10 for the digit 0."""
        images = draw(3, 32)
        for part, of_part in labels.items():
            file = tmp_path / f"{part}_32x32.mat"
            digits = np.where(of_part == 0, 10, of_part)[:, None]
            scipy.io.savemat(file, {"X": images[part].transpose(2, 3, 1, 0), "y": digits})
            entry = ["", file.name, hashlib.md5(file.read_bytes()).hexdigest()]
            monkeypatch.setitem(SVHN.split_list, part, entry)
        return images, labels

    def write_usps():
        """Text: 1 for the digit 0, then numbered values from -1 to 1."""
        images = draw(1, 16)
        for part, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
            lines = []
            for image, label in zip(images[part], labels[part], strict=True):
                values = (image.reshape(-1) + 0.5) / 127.5 - 1  # torchvision rounds downwards
                numbered = " ".join(f"{i}:{value:.6f}" for i, value in enumerate(values, 1))
                lines.append(f"{label + 1} {numbered} \n")
            (tmp_path / name).write_bytes(bz2.compress("".join(lines).encode()))
        return images, labels

    def write_cifar(name):
        loader = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
        of_labels = {"cifar10": "labels", "cifar100": "fine_labels"}[name]
        folder = tmp_path / loader.base_folder
        folder.mkdir()
        images = draw(3, 32)

        def write_batch(name, content):
            (folder / name).write_bytes(pickle.dumps(content))
            return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

        entries = {
            part: write_batch(
                part, {"data": images[part].reshape(-1, 3072), of_labels: labels[part].tolist()}
            )
            for part in labels
        }
        key = loader.meta["key"]
        meta = write_batch("names", {key: [f"class {i}" for i in range(10)]})
        monkeypatch.setattr(loader, "train_list", [entries["train"]])
        monkeypatch.setattr(loader, "test_list", [entries["test"]])
        monkeypatch.setattr(loader, "meta", {"filename": meta[0], "key": key, "md5": meta[1]})
        return images, labels

    return write


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_reads_its_own_formats(name, write_data_set, tmp_path):
    images, labels = write_data_set(name)
    train, test, class_names = load_images(name, tmp_path, download=False)
    sizes = {"byclass": 62, "bymerge": 47, "balanced": 47, "letters": 26}
    assert len(class_names) == sizes.get(name.partition("-")[2], 10)
    for split, part in ((train, "train"), (test, "test")):
        torch.testing.assert_close(split.images, torch.as_tensor(images[part]).float() / 255)
        assert split.labels.tolist() == labels[part].tolist()


@pytest.mark.parametrize("name", TORCHVISION)
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


def pack(file):
    """As it is downloaded: under its name with .gz behind it."""
    file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()


@pytest.mark.parametrize("name", [n for n in TORCHVISION if not n.startswith("cifar")])
@pytest.mark.parametrize("download", [False, True])
def test_packed_files_are_read_where_they_are(name, download, write_data_set, tmp_path, monkeypatch):
    images, labels = write_data_set(name)
    for file in [f for f in tmp_path.rglob("*") if f.is_file()]:
        pack(file)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("os.access", lambda *_: False)  # so that there is no lock for a download
    train, test, _ = load_images(name, tmp_path, download)
    torch.testing.assert_close(train.images, torch.as_tensor(images["train"]).float() / 255)
    assert test.labels.tolist() == labels["test"].tolist()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("folder", [".", "gzip"])
def test_some_files_are_packed_and_some_are_not(folder, write_data_set, tmp_path):
    images, _ = write_data_set("emnist-balanced")
    raw = tmp_path / "EMNIST" / "raw"
    (raw / "gzip").mkdir()
    name = "emnist-balanced-test-images-idx3-ubyte"
    pack(raw / name)
    (raw / f"{name}.gz").rename(raw / folder / f"{name}.gz")
    _, test, _ = load_images("emnist-balanced", tmp_path, download=False)
    torch.testing.assert_close(test.images, torch.as_tensor(images["test"]).float() / 255)


@pytest.mark.parametrize(("name", "archive"), [("cifar10", "cifar-10"), ("cifar100", "cifar-100")])
def test_an_archive_of_cifar(name, archive, write_data_set, tmp_path):
    images, _ = write_data_set(name)
    (folder,) = tmp_path.iterdir()
    with tarfile.open(tmp_path / f"{archive}-python.tar.gz", "w:gz") as opened:
        opened.add(folder, folder.name)
    shutil.rmtree(folder)
    train, _, _ = load_images(name, tmp_path, download=False)
    torch.testing.assert_close(train.images, torch.as_tensor(images["train"]).float() / 255)


@pytest.mark.parametrize("kept", [0, 5, 200])
def test_a_damaged_packed_file_is_named(kept, tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    file = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    pack(file)
    packed = file.with_name(f"{file.name}.gz")
    packed.write_bytes(packed.read_bytes()[:kept] or b"no archive")
    with pytest.raises(ValueError, match=rf"^Data set mnist in .*: {packed} does not unpack: "):
        load_images("mnist", tmp_path, download=False)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("emnist-letters", [*"abcdefghijklmnopqrstuvwxyz"]),
        ("svhn", [*"0123456789"]),
        ("usps", [*"0123456789"]),
    ],
)
def test_names_of_classes(name, names, write_data_set, tmp_path):
    write_data_set(name)
    assert load_images(name, tmp_path, download=False)[2] == names


@pytest.mark.parametrize("name", ["svhn", "cifar10", "cifar100"])
def test_files_with_another_checksum_are_not_missing(name, write_data_set, tmp_path):
    write_data_set(name)
    file = next(f for f in sorted(tmp_path.rglob("*")) if f.is_file())
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ValueError, match=f"^Data set {name} in .* cannot be read: .*corrupted"):
        load_images(name, tmp_path, download=False)


@pytest.mark.parametrize(
    ("change", "argument"), [({"name": "emnist-byclass"}, "name"), ({"image_size": 100}, "image_size")]
)
def test_what_does_not_fit_into_memory_is_said_before(change, argument, monkeypatch, tmp_path):
    monkeypatch.setattr("sqdr.experiment.data.labelled.available_bytes", lambda _: 10**7)
    with pytest.raises(ValueError, match=rf"^Argument `{argument}` must .* needs .* 0.01 GB are free"):
        ImageData(replace(DataOptions(root=tmp_path), **change))


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
        ({"image_size": 1}, "image_size"),
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
