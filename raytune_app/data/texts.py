"""Labelled texts as plain numpy arrays, the twin of `arrays`; which texts are the same, and which leak into a test."""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raytune_app.errors import DataError

Indices = NDArray[np.int64]
Leakage = Literal["error", "warn", "drop"]
"""What to do about training texts that also stand in the test part."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Texts and their classes; all three arrays may be read-only.

    Attributes:
        utf8: uint8 [bytes], the texts in UTF-8, one after the other.
        offsets: int64 [N + 1], from 0 to len(utf8): text i is `utf8[offsets[i]:offsets[i + 1]]`.
        labels: int64 [N], each an index into the classes.
    """

    utf8: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        assert self.utf8.dtype == np.uint8 and self.utf8.ndim == 1, (self.utf8.dtype, self.utf8.shape)
        assert self.labels.dtype == np.int64 and self.labels.ndim == 1, (self.labels.dtype, self.labels.shape)
        assert self.offsets.dtype == np.int64 and self.offsets.shape == (len(self.labels) + 1,), self.offsets.shape
        assert self.offsets[0] == 0 and self.offsets[-1] == len(self.utf8), (self.offsets[[0, -1]], len(self.utf8))

    @classmethod
    def of(cls, texts: Sequence[str], labels: Sequence[int] | NDArray[np.int64]) -> Texts:
        """The same texts, encoded.

        Raises:
            DataError: some hold lone surrogates, which no encoding can write; the message names the first row.
        """
        try:
            encoded = [text.encode() for text in texts]
        except UnicodeEncodeError as error:
            raise _unwritable(texts) from error
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets, np.asarray(labels, np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return map(self.text, range(len(self)))

    def text(self, index: int) -> str:
        """One text, `index` from 0 to N - 1."""
        return self.utf8[self.offsets[index] : self.offsets[index + 1]].tobytes().decode()

    def take(self, indices: Indices) -> Texts:
        """A copy of the texts at `indices`, in that order."""
        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.utf8)]
        taken = pa.Array.from_buffers(pa.large_binary(), len(self), buffers).take(pa.array(indices, pa.int64()))
        _, offsets, utf8 = taken.buffers()
        length = len(indices) + 1
        ends = np.frombuffer(offsets, np.int64)[:length] if len(indices) else np.zeros(1, np.int64)
        return Texts(np.frombuffer(utf8 or b"", np.uint8)[: ends[-1]], ends, self.labels[indices])

    def joined(self, other: Texts) -> Texts:
        """A copy of these texts and the others after them."""
        offsets = np.concatenate([self.offsets, other.offsets[1:] + len(self.utf8)])
        return Texts(np.concatenate([self.utf8, other.utf8]), offsets, np.concatenate([self.labels, other.labels]))

    @property
    def nbytes(self) -> int:
        return self.utf8.nbytes + self.offsets.nbytes + self.labels.nbytes


@dataclass(frozen=True, slots=True)
class TextSource:
    """Labelled texts before they are read, the twin of `source.Source`.

    Attributes:
        classes: the label names, by index.
        train: reads the training part.
        test: reads the sealed part.
        validation: reads the part to choose between trials, where it is not a share of the training part.
    """

    classes: tuple[str, ...]
    train: Callable[[], Texts]
    test: Callable[[], Texts]
    validation: Callable[[], Texts] | None = None


@dataclass(frozen=True, slots=True)
class TextTable:
    """The labelled texts of a user's file, in its order.

    Attributes:
        path: as the user gave it.
        place: what `lines` counts: `line`, of a Parquet file `row`.
        texts: none is empty; white space at the ends is kept.
        labels: none is empty; whole numbers as digits; white space at the ends is removed.
        lines: where each begins, from 1.
    """

    path: str
    place: str
    texts: Sequence[str]
    labels: Sequence[str]
    lines: Sequence[int]

    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted, by their value if all are numbers.

        Raises:
            DataError: there is only one, or some have a single text and so could not be split.
        """
        counts = Counter(self.labels)
        if len(counts) == 1:
            remedy = "give texts of two classes or more"
            raise DataError(f"{self.path}: every label is {shortened(self.labels[0])}", remedy)
        small = [row for row, name in enumerate(self.labels) if counts[name] == 1]
        if small:
            said = f"{several(len(small), 'class', 'classes')} with a single text, too few to split"
            raise DataError(self._said(said, small[0]), "add texts of each such class, or remove it")
        numbers = all(re.fullmatch("-?[0-9]{1,18}", name) for name in counts)
        return tuple(sorted(counts, key=lambda name: (int(name) if numbers else 0, name)))

    def encode(self, classes: Sequence[str]) -> Texts:
        """The texts, with their labels as indices into `classes`.

        Raises:
            DataError: a label is none of `classes`.
        """
        index = {name: label for label, name in enumerate(classes)}
        unknown = [row for row, name in enumerate(self.labels) if name not in index]
        if unknown:
            said = f"{several(len(unknown), 'label', 'labels')} of no known class"
            raise DataError(self._said(said, unknown[0]), f"use only {listed(classes)}")
        return Texts.of(self.texts, [index[name] for name in self.labels])

    def _said(self, said: str, row: int) -> str:
        return f"{self.path}: {said}, the first is {shortened(self.labels[row])} in {self.place} {self.lines[row]}"


@dataclass(frozen=True, slots=True, eq=False)
class Distinct:
    """Which texts are left once every text stands only once.

    Attributes:
        kept: int64, their indices, ascending.
        repeated: how many were left out because an earlier one is the same.
        contradictory: how many were left out because the same text also stands with another label.
    """

    kept: Indices
    repeated: int
    contradictory: int


def folded(text: str) -> str:
    """The text without regard to case, to white space, or to how accents are written: equal means the same text.

    NFC, Unicode's full case folding, and one blank for any run of white space, none at the ends.
    """
    caseless = unicodedata.normalize("NFD", text).casefold()  # decomposed first, as The Unicode Standard's D145 has it
    return " ".join(unicodedata.normalize("NFC", caseless).split())


def draw(text: str) -> float:
    """A number from 0 to 1 that follows from the folded text alone: which side of a seal it belongs to."""
    return int(hashlib.sha256(folded(text).encode()).hexdigest()[:12], 16) / 16**12


def without_duplicates(texts: Iterable[str], labels: Iterable[Hashable]) -> Distinct:
    """Keep the first of the texts that are the same when folded, and none of those that stand with two labels."""
    keys = [folded(text) for text in texts]
    label_of: dict[str, Hashable] = {}
    contradicted = {key for key, label in zip(keys, labels, strict=True) if label_of.setdefault(key, label) != label}
    first = {key: index for index, key in reversed(list(enumerate(keys))) if key not in contradicted}
    contradictory = sum(key in contradicted for key in keys)
    return Distinct(np.array(sorted(first.values()), np.int64), len(keys) - len(first) - contradictory, contradictory)


def leaked(train: Iterable[str], test: Iterable[str]) -> Indices:
    """The indices, ascending, of the training texts that also stand in the test part, both folded."""
    sealed = set(map(folded, test))
    return np.array([index for index, text in enumerate(train) if folded(text) in sealed], np.int64)


def without_leakage(
    texts: Sequence[str] | Texts, other: Iterable[str], leakage: Leakage, parts: tuple[str, str] = ("training", "test")
) -> Indices:
    """The indices of the texts to use: all of them, or with `drop` those that do not stand in the other part.

    Args:
        parts: what the errors call the two.

    `warn` keeps all and writes a warning to the log.

    Raises:
        DataError: there are such texts and `leakage` is `error`; the message has their count and an example.
    """
    found = leaked(texts, other)
    everything = np.arange(len(texts))
    if leakage == "drop" or not len(found):
        return np.setdiff1d(everything, found, assume_unique=True)
    example = shortened(next(islice(texts, int(found[0]), None)))
    said = f"{len(found)} of {len(texts)} {parts[0]} texts also stand in the {parts[1]} part, the first is {example}"
    if leakage == "error":
        raise DataError(said, "remove them, or set data.leakage: drop to train without them")
    _log.warning("%s; the %s score will be too good", said, parts[1])
    return everything


def several(count: int, one: str, many: str) -> str:
    """A number and its noun."""
    return f"{count} {one if count == 1 else many}"


def listed(names: Sequence[str]) -> str:
    """The first ten names, as an error lists them."""
    return ", ".join(map(shortened, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def shortened(text: str) -> str:
    """The text as an error quotes it: in quotes, escaped, at most 60 characters of it."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def has_surrogates(text: str) -> bool:
    """Whether the text holds lone surrogates, which JSON can write but UTF-8 cannot."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def _unwritable(texts: Sequence[str]) -> DataError:
    rows = [index for index, text in enumerate(texts) if has_surrogates(text)]
    said = f"{len(rows)} of {len(texts)} texts hold a lone surrogate, the first is row {rows[0]}"
    return DataError(f"{said}: {shortened(texts[rows[0]])}", "remove it: it is half of a character")
