"""Image files: what their pixels become, and which files are refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from sqdr import images
from sqdr.images import ImageTransform, image_files, is_bright_outside, read_image, resized

GREY = np.arange(96, dtype=np.uint8).reshape(8, 12) * 2
COLOUR = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
#: ITU-R 601: how bright red, green and blue look.
LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def save(tmp_path):
    def save(picture, name="picture.png", **options):
        picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        picture.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def assert_equal(tensor, expected, tolerance=1e-6):
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor, expected, atol=tolerance)


@pytest.mark.parametrize("size", [5, 8, 30])
def test_resized_as_pillow_resizes(size):
    picture = (GREY / 255).astype(np.float32)
    expected = Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR)
    assert_equal(resized(torch.from_numpy(picture)[None, None], size)[0, 0], np.asarray(expected))


@pytest.mark.parametrize("name", ["p.png", "p.bmp", "p.tiff", "p.pgm", "p.gif"])
def test_grey_pixels_are_fractions_of_255(name, save):
    assert_equal(read_image(save(GREY, name), 1), GREY[None] / 255)


def test_grey_for_a_model_of_colour(save):
    assert_equal(read_image(save(GREY), 3), np.stack([GREY / 255] * 3))


def test_colour_stays_or_becomes_brightness(save):
    file = save(COLOUR)
    assert_equal(read_image(file, 3), COLOUR.transpose(2, 0, 1) / 255)
    assert_equal(read_image(file, 1), (COLOUR @ LUMA)[None] / 255, tolerance=1 / 255)


def test_sixteen_bits_are_not_cut_off(save):
    deep = GREY.astype(np.uint16) * 257
    assert_equal(read_image(save(deep), 1), GREY[None] / 255)


def test_sixteen_bits_of_a_pgm(save):
    """Of which Pillow makes pixels of 32 bits."""
    deep = GREY.astype(np.uint16) * 257
    assert_equal(read_image(save(deep, "p.pgm"), 1), GREY[None] / 255)


def test_files_of_folders(save, tmp_path):
    named = save(GREY, "named.tiff").rename(tmp_path / "named.unknown")
    inside = [save(GREY, name) for name in ("a.png", "b.JPG", "c.pgm")]
    (tmp_path / "notes.txt").touch()
    assert image_files([named, tmp_path]) == [named, *inside]


@pytest.mark.parametrize("size", [2, 8, 9])
def test_what_is_bright_outside(size):
    image = torch.zeros(1, size, size)
    assert not is_bright_outside(image)
    image[:, :, 0] = 1
    assert is_bright_outside(image) == (size > 3)
    assert not is_bright_outside(1 - image)


def test_a_palette_is_looked_up(save):
    assert_equal(read_image(save(Image.fromarray(GREY).convert("P")), 1), GREY[None] / 255)


def test_one_bit_is_black_or_white(save):
    white = GREY > 90
    assert_equal(read_image(save(white), 1), white[None])


def test_exif_turns_the_picture(save):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right
    assert_equal(read_image(save(GREY, exif=exif), 1), np.rot90(GREY, -1)[None] / 255)


def test_an_opaque_alpha_channel_changes_nothing(save):
    opaque = np.dstack([COLOUR, np.full((8, 12), 255, dtype=np.uint8)])
    assert_equal(read_image(save(opaque), 3), COLOUR.transpose(2, 0, 1) / 255)


def refusal(file, channels=1):
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the message is looked at by the caller
        read_image(file, channels)
    return str(refused.value)


def test_transparency_is_refused(save):
    alpha = np.full((8, 12), 255, dtype=np.uint8)
    alpha[3, 4] = 254
    message = refusal(save(np.dstack([COLOUR, alpha])), 3)
    assert message.startswith("Argument `images` must name image files (PNG, JPEG, ")
    assert message.endswith(
        "picture.png is none: it is partly transparent, so put it on a background first."
    )


def test_pixels_of_unknown_range_are_refused(save):
    assert "its pixels have 32 bits" in refusal(save(GREY.astype(np.float32), "p.tiff"))


@pytest.mark.parametrize("kept", [0, 20, 60])
def test_a_truncated_file_is_refused(kept, save):
    file = save(COLOUR)
    file.write_bytes(file.read_bytes()[:kept])
    assert f"{file} is none: " in refusal(file)


def test_a_missing_file_is_refused(tmp_path):
    assert refusal(tmp_path / "none.png").endswith("none.png is none: there is no such file.")


def test_a_format_that_pillow_gives_to_another_program_is_refused(save):
    assert "cannot identify image file" in refusal(save(COLOUR, "p.eps"))


def test_an_image_that_would_fill_the_memory_is_refused(save, monkeypatch):
    monkeypatch.setattr(images.Image, "MAX_IMAGE_PIXELS", 90)
    assert "decompression bomb" in refusal(save(GREY))


def test_a_model_of_two_channels_takes_no_files(save):
    assert refusal(save(GREY), 2) == "Argument `channels` must be 1 or 3 for image files, but is 2."


@pytest.mark.parametrize("invert", ["no", 1, None])
def test_whether_to_invert_is_true_or_false(invert, save):
    with pytest.raises(ValueError, match="`invert` must be True or False"):
        read_image(save(GREY), 1, invert)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("channels", (2, 8)), ("size", (1, 0)), ("size", (1, "8")), ("invert", (1, 8, "no"))],
    ids=str,
)
def test_a_transform_checks_its_arguments_when_it_is_made(name, arguments):
    with pytest.raises(ValueError, match=f"^Argument `{name}` must "):
        ImageTransform(*arguments)
