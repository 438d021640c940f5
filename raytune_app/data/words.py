"""Many texts at once taken apart into words, characters or n-grams: arrays of code points, no loop over tokens.

The work is linear in the texts' length, whatever stands in them, and no text changes what becomes of another.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Counts = NDArray[np.int64]

_MAX_MARKS = 30
"""Unicode Annex 15's stream-safe limit. Python sorts the marks on a letter in time quadratic in their number."""

_CROWD = re.compile(rf"[^\w\0-\u02ff]{{{_MAX_MARKS + 1}}}")
"""Found wherever more than 30 marks follow each other, and quickly: no mark is a letter, digit or below U+0300."""

_SIGN, _LETTER, _MARK, _APOSTROPHE, _SPACE = range(5)
_CODE = "utf-32-le"


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The tokens of N texts, one after the other.

    Attributes:
        distinct: each token once.
        numbers: int32 [T], indices into `distinct`.
        lengths: int64 [N], how many each text has.
    """

    distinct: list[str]
    numbers: NDArray[np.int32]
    lengths: Counts

    def cut(self, limit: int) -> Tokens:
        """No more than the first `limit` of each text."""
        if self.lengths.max(initial=0) <= limit:
            return self
        places = np.arange(len(self.numbers)) - np.repeat(_before(self.lengths), self.lengths)
        return Tokens(self.distinct, self.numbers[places < limit], np.minimum(self.lengths, limit))


def fold(text: str, *, lower: bool) -> str:
    """One spelling of canonically equal texts: Unicode's form NFC; of more than 30 marks on a letter the first 30."""
    if lower:
        text = text.lower()
    if text.isascii():
        return text
    if _CROWD.search(text):
        text = _stacked_marks().sub(r"\1", text)
    return unicodedata.normalize("NFC", text)


def characters(texts: Sequence[str]) -> Tokens:
    """Every character of folded texts, spaces too."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    codes = _codes("".join(texts))
    seen = np.zeros(codes.max(initial=0) + 1, np.bool_)
    seen[codes] = True
    numbers = np.cumsum(seen, dtype=np.int32) - 1
    return Tokens([chr(code) for code in np.flatnonzero(seen)], numbers[codes], lengths)


def words(texts: Sequence[str]) -> Tokens:
    """The words and signs of folded texts.

    A word is of letters, digits and marks, with single apostrophes between them; a curly apostrophe is a straight one.
    Any other character but space is a sign, with the marks after it, so that an emoji keeps its variant.
    """
    codes, ends, lengths = _words(texts)
    buffers = [None, pa.py_buffer(4 * ends), pa.py_buffer(codes)]
    encoded = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(ends) - 1, buffers).dictionary_encode()
    _, places, distinct = encoded.dictionary.buffers()
    starts = np.frombuffer(places, np.int64)[: len(encoded.dictionary) + 1] // 4
    return Tokens(_slices(distinct, starts), encoded.indices.to_numpy(), lengths)


def grams(texts: Sequence[str], n: int) -> Tokens:
    """All runs of `n` characters of each <word> and <sign>, n from 2 to 5; a shorter one is a token of its own."""
    codes, ends, words = _words(texts)
    bounded, starts = _bounded(codes, ends)
    sizes = np.diff(starts)
    counts = np.maximum(sizes - n + 1, 1)
    places = np.arange(counts.sum()) + np.repeat(starts[:-1] - _before(counts), counts)
    rows = np.lib.stride_tricks.sliding_window_view(np.pad(bounded, (0, n)), n)[places]
    for size in range(3, n):
        rows[_before(counts)[sizes == size], size:] = 0
    array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4 * n), len(rows), [None, pa.py_buffer(rows)])
    encoded = array.dictionary_encode()
    distinct = _slices(encoded.dictionary.buffers()[1], n * np.arange(len(encoded.dictionary) + 1))
    if n > 3:  # shorter ones are filled up; where NUL itself stands, it stands before >
        distinct = [gram.rstrip("\0") for gram in distinct]
    before = np.concatenate([[0], np.cumsum(counts)])
    return Tokens(distinct, encoded.indices.to_numpy(), before[np.cumsum(words)] - before[_before(words)])


def _words(texts: Sequence[str]) -> tuple[Codes, Counts, Counts]:
    """The code points of all words, the W + 1 places where one ends and the next begins, and each text's words."""
    codes = _codes("\n".join([*texts, ""]).replace("\u2019", "'"))
    classes = _classes()[codes]
    letters, begins = _letters(classes)
    solid = classes != _SPACE
    begins |= letters & ~np.concatenate([[False], letters[:-1]])
    first = np.flatnonzero(begins)
    ends = np.append(np.cumsum(solid)[first] - 1, solid.sum())
    text_ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
    return codes[solid], ends, np.diff(np.searchsorted(first, text_ends), prepend=0)


def _letters(classes: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which characters are part of words, and which are signs without the marks after them."""
    signs, letters = classes == _SIGN, classes == _LETTER
    marks = np.flatnonzero(classes == _MARK)
    if len(marks):
        based = np.where(classes == _MARK, 0, np.arange(len(classes)))
        letters[marks] = ~np.isin(classes[np.maximum.accumulate(based)[marks]], (_SIGN, _APOSTROPHE))
    quotes = np.flatnonzero(classes == _APOSTROPHE)
    inner = letters[quotes - 1] & letters[quotes + 1] & (quotes > 0)
    letters[quotes[inner]], signs[quotes[~inner]] = True, True
    return letters, signs


def _bounded(codes: Codes, ends: Counts) -> tuple[Codes, Counts]:
    """The words again, each between < and >."""
    starts = ends + 2 * np.arange(len(ends))
    bounded = np.empty(starts[-1], np.uint32)
    inside = np.ones(len(bounded), np.bool_)
    inside[starts[:-1]] = inside[starts[1:] - 1] = False
    bounded[inside] = codes
    bounded[starts[:-1]], bounded[starts[1:] - 1] = ord("<"), ord(">")
    return bounded, starts


def _slices(codes: pa.Buffer | None, starts: Counts) -> list[str]:
    """The texts between places of Arrow's buffer of code points, which is None if there is nothing."""
    text = codes.to_pybytes()[: 4 * starts[-1]].decode(_CODE, "surrogatepass") if codes else ""
    return [text[start:end] for start, end in pairwise(starts.tolist())]


def _codes(text: str) -> Codes:
    return np.frombuffer(text.encode(_CODE, "surrogatepass"), np.uint32)


def _before(lengths: Counts) -> Counts:
    return np.cumsum(lengths) - lengths


@functools.cache
def _classes() -> NDArray[np.uint8]:
    """The class of each code point, as Python's own Unicode tables have it."""
    every = np.arange(0x110000, dtype=np.uint32).tobytes().decode(_CODE, "surrogatepass")
    classes = np.full(len(every), _SIGN, np.uint8)
    for kind, pattern in ((_LETTER, r"[^\W_]+"), (_MARK, f"[{_marks()}]+"), (_APOSTROPHE, "'"), (_SPACE, r"\s+")):
        for run in re.finditer(pattern, every):
            classes[run.start() : run.end()] = kind
    return classes


@functools.cache
def _marks() -> str:
    """Inside a regular expression's brackets: what belongs to the character before it, marks and the two joiners."""
    codes = [c for c in chain(range(0x300, 0x20000), range(0xE0100, 0xE01F0)) if unicodedata.category(chr(c))[0] == "M"]
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda place: place[1] - place[0])]
    return "\u200c\u200d" + "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


@functools.cache
def _stacked_marks() -> re.Pattern[str]:
    return re.compile(f"([{_marks()}]{{{_MAX_MARKS}}})[{_marks()}]+")
