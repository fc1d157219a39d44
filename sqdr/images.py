"""Images as the model takes them: read from files, resized."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sqdr.errors import MissingPackageError
from sqdr.validation import argument_error, check_boolean, check_integer

try:
    from PIL import ExifTags, Image, ImageOps
except ModuleNotFoundError as error:
    raise MissingPackageError("Reading image files", "share", "Pillow") from error

#: What Pillow reads by itself; other formats it hands to other programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class ImageTransform:
    """What makes of a picture the image that a model takes, as for its training.

    Args:
        channels (int): 1 for grey, 3 for colour.
        size (int or None): height and width of the image; None leaves those of the picture.
        invert (bool): whether to exchange light and dark. Default: False.

    Raises:
        ValueError: if `channels` is neither 1 nor 3, or another argument is out of its domain.
    """

    channels: int
    size: int | None
    invert: bool = False

    def __post_init__(self) -> None:
        _check_channels(self.channels)
        if self.size is not None:
            check_integer("size", self.size, 1)
        check_boolean("invert", self.invert)

    def __call__(self, picture: Path | str | Image.Image) -> Tensor:
        """The image.

        Args:
            picture (path or PIL image): see `read_image`.

        Returns:
            Tensor of shape (channels, size, size): in [0, 1].

        Raises:
            ValueError: as `read_image`.
        """
        return resized(read_image(picture, self.channels, self.invert)[None], self.size)[0]


def resized(images: Tensor, size: int | None) -> Tensor:
    """Images squeezed or stretched to squares, bilinearly and with antialiasing.

    Args:
        images (Tensor of shape (n, channels, height, width)): in [0, 1].
        size (int or None): height and width of the result; None leaves the images as they are.

    Returns:
        Tensor of shape (n, channels, size, size): in [0, 1].
    """
    if size is None or images.shape[2:] == (size, size):
        return images
    squares = interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return squares.clamp(0, 1)


def image_files(paths: Iterable[Path]) -> list[Path]:
    """The files that these paths name, and those with the names of image files in folders among them.

    Raises:
        ValueError: if a folder holds none.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(f for f in path.iterdir() if has_image_name(f) and f.is_file())
        if not inside:
            raise argument_error("images", "name image files, or folders of them", f"{path} holds none")
        files += inside
    return files


def has_image_name(path: Path) -> bool:
    """Whether a path ends as the names of files of `FORMATS` do."""
    Image.init()
    return Image.EXTENSION.get(path.suffix.lower()) in FORMATS


def is_bright_outside(image: Tensor) -> bool:
    """Whether an image (channels, height, width) is brighter at its border than in its middle."""
    height, width = image.shape[1:]
    middle = image[:, height // 4 : -(height // 4), width // 4 : -(width // 4)]
    outside = torch.cat((image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]), dim=1)
    return bool(outside.mean() > middle.mean())


def read_image(file: Path | str | Image.Image, channels: int, invert: bool = False) -> Tensor:
    """An image file as a tensor, in grey or in colour, turned as its EXIF data say.

    Args:
        file (path or PIL image): of one of `FORMATS`; the first picture of several.
        channels (int): 1 for grey, 3 for colour.
        invert (bool): whether to exchange light and dark. Default: False.

    Returns:
        Tensor of shape (channels, height, width): in [0, 1].

    Raises:
        ValueError: if the file is missing, broken, of another format, or partly transparent, which
            leaves open what the picture looks like; or if `channels` is neither 1 nor 3.
    """
    invert = check_boolean("invert", invert)
    _check_channels(channels)
    with _opened(file) as opened:
        pixels, white = _pixels(opened, _MODES[channels])
    if invert:  # whole numbers, since the phase code tells k / 255 from a little less
        pixels = white - pixels
    values = torch.from_numpy(pixels) / white
    return values.reshape(*values.shape[:2], -1).movedim(-1, 0).expand(channels, -1, -1)


def _check_channels(channels: int) -> None:
    if channels not in _MODES:
        raise argument_error("channels", "be 1 or 3 for image files", f"is {channels}")


class ImageHeader(NamedTuple):
    """What an image file says of its image: 1 channel for grey, 3 for colour; pixels as it is seen."""

    channels: int
    height: int
    width: int


def read_header(file: Path) -> ImageHeader:
    """What an image file says of its image, whose pixels are not read.

    Raises:
        ValueError: if the file is missing, broken at its beginning, or of another format.
    """
    with _opened(file) as opened:
        width, height = opened.size
        if opened.getexif().get(ExifTags.Base.Orientation, 1) > 4:  # which lies on its side
            width, height = height, width
        return ImageHeader(1 if _is_grey(opened) else 3, height, width)


def _is_grey(opened: Image.Image) -> bool:
    if opened.mode in ("P", "PA"):
        colours = np.asarray(opened.getpalette() or [0], dtype=np.uint8).reshape(-1, 3)
        return bool((colours == colours[:, :1]).all())
    return opened.mode.startswith(("1", "L", "I", "F"))


@contextmanager
def _opened(file: Path | str | Image.Image) -> Iterator[Image.Image]:
    """A picture; whatever is wrong with it while it is used becomes an error that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if isinstance(file, Image.Image):
                yield file
            else:
                with Image.open(file, formats=FORMATS) as opened:
                    yield opened
    except Exception as error:  # Pillow's readers raise whatever their parsers meet
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error
        must = f"name image files ({', '.join(FORMATS)})"
        raise argument_error("images", must, f"{file} is none: {reason}") from error


def _pixels(opened: Image.Image, mode: str) -> tuple[np.ndarray, int]:
    """Pixels (height, width) or (height, width, 3) of a picture, and their value for white.

    Pillow opens some pictures of 16 bits in a mode of 32, with white at 65535.
    """
    is_16_bit = opened.mode.startswith("I") and opened.format in ("PNG", "PPM")
    image = ImageOps.exif_transpose(opened)
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise ValueError("it is partly transparent, so put it on a background first")
    if is_16_bit or image.mode.startswith("I;16"):  # which `convert` would cut off at 255
        return np.asarray(image, dtype=np.float32), 65535
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, whose range is not known")
    return np.asarray(image.convert(mode), dtype=np.float32), 255
