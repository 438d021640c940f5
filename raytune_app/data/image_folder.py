"""A user's own pictures: `train/<class>/*.png|jpg`, and `test/<class>/` if there is a test part."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from raytune_app.data.arrays import Arrays
from raytune_app.data.source import Source
from raytune_app.errors import DataError

MAX_SIDE_PX = 8192
"""A wider or higher picture is refused by its header, before it is decoded."""

SEALED_SHARE = 0.1
"""Without a test folder about a tenth is sealed as test. Each file's own name decides, so adding pictures moves none of
the others: no study may have trained on what another one is tested on.
"""

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_GREY = frozenset({"1", "L", "LA"})
_EIGHT_BIT = _GREY | {"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}


@dataclass(frozen=True, slots=True)
class Listing:
    """The picture files of one part and the class of each."""

    files: tuple[Path, ...]
    labels: NDArray[np.int64]

    def take(self, indices: NDArray[np.int64]) -> Listing:
        return Listing(tuple(self.files[i] for i in indices), self.labels[indices])


def image_folder(path: str, image_size: int) -> Source:
    """Pictures scaled and cropped at the centre to `image_size` squares, grey or RGB as the first file is.

    Files other than .png, .jpg and .jpeg are left alone.

    Raises:
        DataError: a folder is missing or empty, or a file is not a picture that can be used.
    """
    root = Path(path).expanduser()
    classes = _classes(root / "train")
    train, test = _parts(root, classes)
    mode = _mode(train.files[0])
    return Source(classes, lambda: _read(train, image_size, mode), lambda: _read(test, image_size, mode))


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", "put the pictures in data.path/train/<class>/")
    classes = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if len(classes) < 2:
        raise DataError(f"{folder} has {len(classes)} class folders", "make at least two, each with its pictures")
    return classes


def _parts(root: Path, classes: tuple[str, ...]) -> tuple[Listing, Listing]:
    train = _list(root / "train", classes)
    if not (root / "test").is_dir():
        sealed = _sealed(root / "train", train, len(classes))
        return train.take(np.flatnonzero(~sealed)), train.take(np.flatnonzero(sealed))
    if unknown := set(_classes(root / "test")) - set(classes):
        raise DataError(f"{root / 'test'} has classes that train lacks: {', '.join(sorted(unknown))}", "rename them")
    return train, _list(root / "test", classes)


def _sealed(folder: Path, listing: Listing, classes: int) -> NDArray[np.bool_]:
    """Which files are sealed: those whose name's hash falls into the first tenth, and at least one of each class."""
    names = [file.relative_to(folder).as_posix() for file in listing.files]
    draws = np.array([int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) / 16**12 for name in names])
    sealed: NDArray[np.bool_] = draws < SEALED_SHARE
    for label in range(classes):
        of_class = np.flatnonzero(listing.labels == label)
        if len(of_class) < 2:
            raise DataError(f"{listing.files[of_class[0]].parent} has one picture", "add more, some are sealed as test")
        sealed[of_class[draws[of_class].argmin()]] = True
        sealed[of_class[draws[of_class].argmax()]] = False
    return sealed


def _list(folder: Path, classes: Sequence[str]) -> Listing:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(file for file in (folder / name).glob("*") if file.suffix.lower() in _SUFFIXES)
        if not found:
            raise DataError(f"{folder / name} has no .png or .jpg file", "add pictures of this class")
        files += found
        labels += [label] * len(found)
    return Listing(tuple(files), np.array(labels, np.int64))


def _mode(file: Path) -> str:
    with _open(file) as image:
        return "L" if image.mode in _GREY else "RGB"


def _read(listing: Listing, size: int, mode: str) -> Arrays:
    images = np.empty((len(listing.files), size, size, len(mode)), np.uint8)
    for row, file in enumerate(listing.files):
        images[row] = _decode(file, size, mode)
    return Arrays(np.ascontiguousarray(images.transpose(0, 3, 1, 2)), listing.labels)


def _decode(file: Path, size: int, mode: str) -> NDArray[np.uint8]:
    """One picture as uint8 [size, size, C]."""
    try:
        with _open(file) as image:
            upright = ImageOps.exif_transpose(image)
            fitted = ImageOps.fit(upright.convert(mode), (size, size), Image.Resampling.BILINEAR)
            return np.asarray(fitted).reshape(size, size, len(mode))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file} is truncated or corrupt: {error}", "replace or remove it") from error


def _open(file: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is the stricter one
            image = Image.open(file, formats=("PNG", "JPEG"))
    except Image.DecompressionBombError as error:
        raise DataError(f"{file} has a side over {MAX_SIDE_PX} pixels", "scale it down") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file} is not a PNG or JPEG picture that can be read", "replace or remove it") from error
    fault = _fault(image)
    if fault is not None:
        image.close()
        raise DataError(f"{file} {fault[0]}", fault[1])
    return image


def _fault(image: Image.Image) -> tuple[str, str] | None:
    """What in a picture's header keeps it from being decoded, and the remedy."""
    if max(image.size) > MAX_SIDE_PX:
        return f"is {image.width}x{image.height}, over {MAX_SIDE_PX} pixels a side", "scale it down"
    if image.mode not in _EIGHT_BIT:
        return f"has pixels of mode {image.mode}, not of 8 bits", "convert it to 8 bits a channel"
    return None
