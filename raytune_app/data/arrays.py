"""Labelled examples as plain numpy arrays: what is put once in a node's object store and mapped by every trial."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from raytune_app.data.encoding import EncodedTexts
from raytune_app.data.texts import Texts

_CHUNK = 1000
"""Pictures counted at once by `pixel_moments`, so that no wider copy of all of them ever exists."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """Pictures and their classes.

    Attributes:
        images: uint8 [N, C, H, W], 0 to 255; may be read-only.
        labels: int64 [N], each an index into the classes.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8 and self.images.ndim == 4, (self.images.dtype, self.images.shape)
        assert self.labels.dtype == np.int64 and self.labels.shape == self.images.shape[:1], self.labels.shape

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        """A copy of the pictures at `indices`, in that order."""
        return Arrays(self.images[indices], self.labels[indices])

    def joined(self, other: Arrays) -> Arrays:
        """A copy of these pictures and the others after them."""
        both = (self, other)
        return Arrays(np.concatenate([each.images for each in both]), np.concatenate([each.labels for each in both]))

    @property
    def nbytes(self) -> int:
        return self.images.nbytes + self.labels.nbytes


Examples = Arrays | Texts
"""Labelled pictures, or labelled texts."""


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """All that a trial may see: never the test part.

    Attributes:
        train: examples to learn from.
        validation: examples to choose between trials.
        classes: the label names, by index.
        mean: of pictures: per channel, of pixels / 255, over `train`.
        std: likewise; 1 for a channel that never varies.
        fingerprint: sha256 of the whole stored training part, before sampling and splitting.
        encoded: of texts: both parts as ids, where all trials have the same tokens; else each trial encodes.
    """

    train: Examples
    validation: Examples
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    encoded: EncodedTexts | None = None

    @property
    def pictures(self) -> tuple[Arrays, Arrays]:
        """Both parts, of data that are pictures."""
        assert isinstance(self.train, Arrays) and isinstance(self.validation, Arrays), "texts"
        return self.train, self.validation

    @property
    def texts(self) -> tuple[Texts, Texts]:
        """Both parts, of data that are texts."""
        assert isinstance(self.train, Texts) and isinstance(self.validation, Texts), "pictures"
        return self.train, self.validation

    def head(self, train: int, validation: int) -> Training:
        """The same with only the first so many examples of each part; what is known of all of them stays."""
        first, held_out = np.arange(train), np.arange(min(validation, len(self.validation)))
        encoded = self.encoded and self.encoded.head(first, held_out)
        return replace(self, train=self.train.take(first), validation=self.validation.take(held_out), encoded=encoded)


def fingerprint(examples: Examples, classes: Sequence[str]) -> str:
    """sha256 over contents, types and shapes of the arrays and over the class names, as hex."""
    digest = hashlib.sha256()
    contents = (examples.images,) if isinstance(examples, Arrays) else (examples.utf8, examples.offsets)
    for array in (*contents, examples.labels):
        digest.update(f"{array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    digest.update("\0".join(classes).encode())
    return digest.hexdigest()


def pixel_moments(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixels / 255 per channel, exact: from counts of the 256 values.

    Args:
        images: uint8 [N, C, H, W].
    """
    counts = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(images), _CHUNK):
        for channel, pixels in enumerate(images[start : start + _CHUNK].swapaxes(0, 1)):
            counts[channel] += np.bincount(pixels.ravel(), minlength=256)
    levels = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ levels
    std = np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0))
    return tuple(map(float, mean)), tuple(float(value) if value > 1e-6 else 1.0 for value in std)
