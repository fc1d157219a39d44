"""Data sets of other distributions, by their entry points."""

import pytest
import torch

from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.data_names import BUILT_IN, data_names
from sqdr.experiment.options import DataOptions

SOURCE = """
import torch

def stripes(root, download):
    labels = torch.arange(40) % 2
    images = torch.zeros(40, 1, 8, 8)
    images[labels == 1, :, ::2] = 1
    return (images, labels), (images[:10], labels[:10]), ["plain", "striped"]

def bytes_of_images(root, download):
    (images, labels), test, names = stripes(root, download)
    return (images.byte(), labels), test, names

def too_bright(root, download):
    (images, labels), test, names = stripes(root, download)
    return (2 * images, labels), test, names

def one_name(root, download):
    train, test, names = stripes(root, download)
    return train, test, names[:1]

def fails(root, download):
    raise RuntimeError(f"no images in {root}")
"""


@pytest.fixture(autouse=True)
def _installed(tmp_path, monkeypatch):
    """A distribution with these functions, one of them by a name that is built in."""
    names = "stripes", "bytes_of_images", "too_bright", "one_name", "fails"
    entries = [f"{name.replace('_', '-')} = striped_data:{name}" for name in names]
    information = tmp_path / "striped-1.dist-info"
    information.mkdir()
    (tmp_path / "striped_data.py").write_text(SOURCE)
    (information / "METADATA").write_text("Name: striped\nVersion: 1\n")
    lines = "\n".join(["[sqdr.datasets]", *entries, "digits = striped_data:fails"])
    (information / "entry_points.txt").write_text(f"{lines}\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_its_name_is_known():
    assert data_names() == (*BUILT_IN, "bytes-of-images", "fails", "one-name", "stripes", "too-bright")


def test_its_images_are_those_of_the_function():
    data = ImageData(DataOptions("stripes", validation_fraction=0.25))
    assert data.class_names == ["plain", "striped"]
    assert [len(part.labels) for part in (data.train, data.validation, data.test)] == [30, 10, 10]
    assert torch.equal(data.test.images.mean((1, 2, 3)), data.test.labels / 2)


def test_what_is_built_in_stays():
    assert len(ImageData(DataOptions("digits")).class_names) == 10


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "fails",
            r"^Data set fails \(striped_data:fails\) cannot be read: RuntimeError: no images in dat",
        ),
        ("bytes-of-images", "images must be .* and labels .*, not .* torch.uint8"),
        ("too-bright", r"there must be images, with values in \[0, 1\]"),
        ("one-name", "its labels are not all from 0 to 0"),
    ],
)
def test_its_faults_are_said_to_be_its_own(name, message):
    with pytest.raises(ValueError, match=message):
        ImageData(DataOptions(name))


def test_an_unknown_name_lists_it_too():
    with pytest.raises(
        ValueError, match=r"`name` must be one of digits, .*, stripes, too-bright, but is"
    ):
        DataOptions("stripe")
