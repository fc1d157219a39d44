"""Images as the model takes them: read from files, resized."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sqdr.errors import MissingPackageError
from sqdr.validation import argument_error, check_boolean

try:
    from PIL import Image, ImageOps
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
    """

    channels: int
    size: int | None
    invert: bool = False

    def __post_init__(self) -> None:
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
    Image.init()
    endings = {ending for ending, format_ in Image.EXTENSION.items() if format_ in FORMATS}
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(f for f in path.iterdir() if f.suffix.lower() in endings and f.is_file())
        if not inside:
            raise argument_error("images", "name image files, or folders of them", f"{path} holds none")
        files += inside
    return files


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
    if channels not in _MODES:
        raise argument_error("channels", "be 1 or 3 for image files", f"is {channels}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if isinstance(file, Image.Image):
                pixels, white = _pixels(file, _MODES[channels])
            else:
                with Image.open(file, formats=FORMATS) as opened:
                    pixels, white = _pixels(opened, _MODES[channels])
    except Exception as error:  # Pillow's readers raise whatever their parsers meet
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error
        must = f"name image files ({', '.join(FORMATS)})"
        raise argument_error("images", must, f"{file} is none: {reason}") from error
    if invert:  # whole numbers, since the phase code tells k / 255 from a little less
        pixels = white - pixels
    values = torch.from_numpy(pixels) / white
    return values.reshape(*values.shape[:2], -1).movedim(-1, 0).expand(channels, -1, -1)


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
