"""An encoded picture (PNG or JPEG) as the raw pixels a model takes, the same way `image_folder` reads training data.

Bytes come from strangers: only two decoders are allowed, and the header's size is checked before a pixel is decoded.
"""

from __future__ import annotations

import io
import threading
import warnings
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from raytune_app.errors import InputError, MediaError, NotFoundError, TooLargeError

FORMATS = ("PNG", "JPEG")
MAX_FILE_BYTES = 32 * 2**20
MAX_SIDE_PX = 4096
MAX_PIXELS = 16_000_000
LARGE_PIXELS = 1_000_000
"""A picture of more is decoded in its turn: it may take a hundred times the memory of its file."""

_LARGE = threading.BoundedSemaphore(2)
LIGHT_PIXELS = 65_536
_PNG = b"\x89PNG\r\n\x1a\n"
_MAGIC = {_PNG: "image/png", b"\xff\xd8\xff": "image/jpeg"}
_MODES = {1: "L", 3: "RGB"}


def kind(body: bytes) -> str | None:
    """`image/png` or `image/jpeg` by the first bytes; None for anything else."""
    return next((media for magic, media in _MAGIC.items() if body.startswith(magic)), None)


def is_light(body: bytes) -> bool:
    """Whether reading these bytes is little work for their size: all but a PNG, which may hold 1,000 times as much."""
    if not body.startswith(_PNG):
        return True
    width, height = int.from_bytes(body[16:20], "big"), int.from_bytes(body[20:24], "big")
    return width * height <= LIGHT_PIXELS


def read_file(file: Path) -> bytes:
    """The bytes of a picture file. Raises NotFoundError, InputError, or TooLargeError before a huge file is read."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise _too_large(f"a file of {file.stat().st_size:,} bytes")
        return file.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{file} does not exist", "give a PNG or JPEG file") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}", "give a PNG or JPEG file") from error


def pixels(body: bytes) -> int:
    """How many a PNG or JPEG says it has, by its header alone; 0 for anything else.

    Raises:
        InputError: a corrupt header.
        TooLargeError: more than `decode` takes.
    """
    if kind(body) is None:
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns where we raise
        image = _opened(body)
    return image.width * image.height


def decode(body: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The picture as uint8 [C, H, W] of `shape`; scaled (antialiased) and cropped at the centre if of another size.

    Transparency is ignored; colours become grey where the model has one channel, and the other way round.

    Raises:
        InputError: an empty or corrupt picture, or a model that is neither grey nor RGB.
        MediaError: neither PNG nor JPEG.
        TooLargeError: more than MAX_SIDE_PX pixels wide or high, or more than MAX_PIXELS in all.
    """
    channels, height, width = shape
    if channels not in _MODES:
        raise InputError(f"a model of {channels} channels takes no PNG or JPEG", "send the raw pixels")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns where we raise
        pixels = _pixels(_opened(body), _MODES[channels], (width, height))
    return np.ascontiguousarray(pixels.reshape(height, width, channels).transpose(2, 0, 1))


def _opened(body: bytes) -> Image.Image:
    if not body:
        raise InputError("the picture is empty", "send the bytes of a PNG or JPEG file")
    try:
        image = Image.open(io.BytesIO(body), formats=FORMATS)
    except UnidentifiedImageError as error:
        remedy = "send a PNG or JPEG file"
        raise (_corrupt() if kind(body) else MediaError("the picture is neither PNG nor JPEG", remedy)) from error
    except Image.DecompressionBombError as error:
        raise _too_large("of far too many pixels") from error
    except Exception as error:  # a damaged header breaks Pillow in many ways
        raise _corrupt() from error
    if max(image.size) > MAX_SIDE_PX or image.width * image.height > MAX_PIXELS:
        raise _too_large(f"{image.width} x {image.height} pixels")
    return image


def _pixels(image: Image.Image, mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    large = image.width * image.height > LARGE_PIXELS
    try:
        with _LARGE if large else nullcontext():
            return _fitted(image, mode, size)
    except Exception as error:  # a damaged stream breaks Pillow in many ways
        raise _corrupt() from error


def _fitted(image: Image.Image, mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    fitted = _eight_bit(upright).convert(mode)
    fitted = fitted if fitted.size == size else ImageOps.fit(fitted, size, Image.Resampling.BILINEAR)
    return np.asarray(fitted, dtype=np.uint8)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Sixteen-bit grey by its upper eight bits; Pillow's own conversion would clip it to white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))


def _corrupt() -> InputError:
    return InputError("the picture is truncated or corrupt", "save it again and send the whole file")


def _too_large(what: str) -> TooLargeError:
    return TooLargeError(
        f"the picture is {what}", f"send at most {MAX_SIDE_PX} pixels a side and {MAX_PIXELS:,} in all"
    )
