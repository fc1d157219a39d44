"""Data sets, images and model folders that are damaged: errors that name them."""

import errno
import gzip
import json
import pathlib

import numpy as np
import pytest
from commands import assert_refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_data import write_idx, write_mnist

import sqdr
from sqdr.experiment.data.sets import ImageData, load_images
from sqdr.experiment.options import DataOptions
from sqdr.images import read_image
from sqdr.pretrained.config import from_json

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def raw(tmp_path):
    """The folder of an MNIST of 40 training and 20 test images."""
    folder = tmp_path / "MNIST" / "raw"
    write_mnist(folder)
    return folder


def assert_broken(raw, capfd):
    root = str(raw.parents[1])
    before = sorted(raw.parents[1].rglob("*"))
    options = ["--data.name", "mnist", "--data.root", root, "--run", str(raw / "run")]
    message = f"Data set mnist in {root} cannot be read: "
    assert_refused(["train", *options], message, capfd)
    assert sorted(raw.parents[1].rglob("*")) == before


@pytest.mark.parametrize("kept", [0, 3, 4, 10, 16, 17, 5000])
def test_a_truncated_file(kept, raw, capfd):
    file = raw / TRAIN_IMAGES
    file.write_bytes(file.read_bytes()[:kept])
    assert_broken(raw, capfd)


@pytest.mark.parametrize(
    "start",
    [b"\0\0\x08\x01", b"\0\0\x08\xff", b"\0\0\x63\x03", b"\xff\xff\xff\xff", b"\x89PNG"],
    ids=repr,
)
def test_a_wrong_magic_number(start, raw, capfd):
    file = raw / TRAIN_IMAGES
    file.write_bytes(start + file.read_bytes()[4:])
    assert_broken(raw, capfd)


@pytest.mark.parametrize("size", [0, 39, 41, 2**31, 2**32 - 1])
def test_a_wrong_number_of_images(size, raw, capfd):
    file = raw / TRAIN_IMAGES
    file.write_bytes(file.read_bytes()[:4] + size.to_bytes(4, "big") + file.read_bytes()[8:])
    assert_broken(raw, capfd)


def test_a_compressed_file_under_the_name_of_a_plain_one(raw, capfd):
    file = raw / TRAIN_IMAGES
    file.write_bytes(gzip.compress(file.read_bytes()))
    assert_broken(raw, capfd)


def test_fewer_labels_than_images(raw, capfd):
    write_idx(raw / TRAIN_LABELS, np.zeros(39, dtype=np.uint8))
    assert_broken(raw, capfd)


def test_no_images_at_all(raw, capfd):
    write_idx(raw / TRAIN_IMAGES, np.zeros((0, 28, 28), dtype=np.uint8))
    write_idx(raw / TRAIN_LABELS, np.zeros(0, dtype=np.uint8))
    assert_broken(raw, capfd)


def test_a_label_of_no_class(raw, capfd):
    write_idx(raw / TRAIN_LABELS, np.full(40, 10, dtype=np.uint8))
    assert_broken(raw, capfd)


def test_an_empty_folder(raw, capfd):
    for file in raw.iterdir():
        file.unlink()
    options = ["--data.name", "mnist", "--data.root", str(raw.parents[1]), "--run", str(raw / "run")]
    assert_refused(["train", *options], "Data set mnist is not in", capfd)
    assert not list(raw.iterdir())


def test_a_class_that_has_no_images(raw):
    """Labels 0 to 4 only, of which two are kept, and then a class beyond them."""
    for part, n in (("train", 40), ("t10k", 20)):
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8) % 5)
    root = raw.parents[1]
    data = ImageData(DataOptions(name="mnist", root=root, classes=(4, 0), validation_fraction=0.25))
    assert data.train.labels.bincount().tolist() == [6, 6]
    with pytest.raises(ValueError, match="there are no training images of 9 - nine"):
        ImageData(DataOptions(name="mnist", root=root, classes=(1, 2, 9)))


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_other_sets_are_named(name, tmp_path):
    folder = tmp_path / {"fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}[name] / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (folder / f"{part}-{kind}-ubyte").write_bytes(b"")
    with pytest.raises(ValueError, match=f"^Data set {name} in .* cannot be read: "):
        load_images(name, tmp_path, download=False)


PICTURES = {
    "png": Image.new("RGB", (12, 8), (10, 200, 30)),
    "jpg": Image.new("CMYK", (12, 8), (10, 200, 30, 40)),
    "gif": Image.new("P", (12, 8), 3),
    "tiff": Image.new("I;16", (12, 8), 300),
    "bmp": Image.new("L", (12, 8), 77),
    "webp": Image.new("RGBA", (12, 8), (1, 2, 3, 255)),
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("suffix", PICTURES)
def test_a_damaged_picture_is_read_or_refused(suffix, data, tmp_path):
    file = tmp_path / f"picture.{suffix}"
    PICTURES[suffix].save(file)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    channels = data.draw(st.sampled_from([1, 3]))
    try:
        image = read_image(file, channels)
    except ValueError as refused:
        assert str(refused).startswith("Argument `images` must name image files")  # noqa: PT017
        assert str(file) in str(refused)  # noqa: PT017
    else:
        assert image.shape[0] == channels
        assert ((image >= 0) & (image <= 1)).all()


@pytest.mark.parametrize("side", [10_000, 2**31 - 1])
def test_a_small_file_of_a_huge_picture(side, tmp_path):
    """A PNG says its size in its header, long before the pixels."""
    file = tmp_path / "bomb.png"
    PICTURES["png"].save(file)
    content = bytearray(file.read_bytes())
    content[16:24] = side.to_bytes(4, "big") * 2
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"bomb\.png is none: "):
        read_image(file, 3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    sqdr.SQDR_CNN(2, 1, 2, n_wires=2).save_pretrained(folder)
    return folder


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150)
@given(data=st.data())
def test_a_damaged_configuration_is_read_or_refused(saved, data):
    content = json.loads((saved / "config.json").read_text())
    part = data.draw(st.sampled_from([content, content["arguments"], content["data"]]))
    part[data.draw(st.sampled_from(sorted(part)) | st.text(max_size=5))] = data.draw(PLAIN)
    try:
        config = from_json(json.dumps(content).encode())
    except ValueError as refused:
        assert str(refused).startswith(("Argument `", "it "))  # noqa: PT017
    else:
        assert config.arguments.keys() == {*content["arguments"]}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_weights_are_read_or_refused(saved, data, tmp_path):
    content = bytearray((saved / "model.safetensors").read_bytes())
    place = st.integers(0, 400) | st.integers(0, len(content) - 1)
    for _ in range(data.draw(st.integers(0, 2))):
        content[data.draw(place)] = data.draw(st.integers(0, 255))
    (tmp_path / "config.json").write_bytes((saved / "config.json").read_bytes())
    kept = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    (tmp_path / "model.safetensors").write_bytes(content[:kept])
    try:
        model = sqdr.SQDR_CNN.from_pretrained(tmp_path)
    except ValueError as refused:
        assert str(tmp_path / "model.safetensors") in str(refused)  # noqa: PT017
    else:
        assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_a_full_disk_leaves_the_saved_model_as_it_was(tmp_path, monkeypatch):
    model = sqdr.SQDR_CNN(2, 1, 2, n_wires=2)
    model.save_pretrained(tmp_path / "model")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.*")}

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", fail)
    with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path / 'model'}'$"):
        model.save_pretrained(tmp_path / "model")
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.*")} == before
