"""Pretrained vectors of words, read for one vocabulary: word2vec text and binary, GloVe, fastText .vec; gzipped or not.

Text formats have a word and its numbers on each line; word2vec and fastText put a line before, with the count of words
and that of numbers. In word2vec's binary format each word is followed by a space and its numbers as little-endian
float32. The file is streamed: what is held is the matrix, the vocabulary and a megabyte.
"""

from __future__ import annotations

import gzip
import io
import itertools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from raytune_app.errors import DataError

MAX_DIMENSION = 10_000
"""A header that promises longer vectors is refused."""

_CHUNK = 2**20
"""Bytes read at once, and the longest line."""

_MAX_WORD_BYTES = 2**16

_AGAIN = "download or export the file again"
_WRONG_KINDS = {
    b"PK\x03\x04": ("is a ZIP archive", "unpack it and name the text file in it"),
    b"\xba\x16\x4f\x2f": ("is a fastText model", "use the .vec file that fastText offers beside it"),
    b"\x80": ("is a Python pickle", "save the vectors in word2vec's format, in gensim by save_word2vec_format"),
    b"\xff\xfe": ("is UTF-16 text", "save it as UTF-8"),
    b"\xef\xbb\xbf": ("begins with a byte order mark", "save it as UTF-8 without one"),
}
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r"))


class Row(NamedTuple):
    """One word of a file: the line or byte it begins at, and its numbers, not yet looked into."""

    place: int
    word: bytes
    numbers: bytes


def read_vectors(
    path: str | Path, vocabulary: Mapping[str, int], size: int, *, lower_fallback: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The vectors of a vocabulary's words, float32 [size, D], and which rows have one, bool [size]; the others are 0.

    A word that stands in the file twice has its first vector. Other words' numbers are counted, but not looked into.
    In binary files words that are not UTF-8, of which Google's news vectors have some, are skipped.

    Args:
        path: the file; its format follows from its content.
        vocabulary: the row of each word, less than `size`.
        size: rows of the matrix.
        lower_fallback: a word without a vector takes that of its lower-case form.

    Raises:
        DataError: the file is missing, empty, truncated or not of these formats, or has no word in common.
    """
    file_path = Path(path).expanduser()
    try:
        reader = _reader(file_path)
        with _open(file_path) as file:
            return _gather(reader, file, vocabulary, size, lower_fallback=lower_fallback)
    except OSError as error:  # gzip.BadGzipFile too
        raise DataError(f"{file_path}: {error.strerror or error}", "name a file of vectors that can be read") from error
    except (EOFError, zlib.error) as error:
        raise DataError(f"{file_path} is truncated or corrupt: {error}", _AGAIN) from error


def _gather(
    reader: _Reader, file: BinaryIO, vocabulary: Mapping[str, int], size: int, *, lower_fallback: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    matrix, known, own = np.zeros((size, reader.dimension), np.float32), np.zeros(size, bool), np.zeros(size, bool)
    exact = {_bytes(word): row for word, row in vocabulary.items()}
    lower = _lower(vocabulary) if lower_fallback else {}
    seen: list[bytes] = []
    for row in reader.rows(file):
        if len(seen) < 3:
            seen.append(row.word)
        target, others = exact.get(row.word), lower.get(row.word)
        if target is None and others is None:
            continue
        vector = reader.vector(row)
        if target is not None and not own[target]:
            matrix[target], own[target], known[target] = vector, True, True
        for other in others or ():
            if not known[other]:
                matrix[other], known[other] = vector, True
    if not known.any():
        raise _nothing_in_common(reader.path, seen, vocabulary)
    return matrix, known


def _lower(vocabulary: Mapping[str, int]) -> dict[bytes, list[int]]:
    """The rows that a lower-case word stands in for."""
    found: dict[bytes, list[int]] = {}
    for word, row in vocabulary.items():
        if word != word.lower():
            found.setdefault(_bytes(word.lower()), []).append(row)
    return found


def _nothing_in_common(path: Path, seen: list[bytes], vocabulary: Mapping[str, int]) -> DataError:
    theirs = ", ".join(map(_shown, seen))
    ours = ", ".join(_shown(_bytes(word)) for word in itertools.islice(vocabulary, 3))
    return DataError(
        f"{path} has no word in common with the vocabulary: it begins with {theirs}, the vocabulary with {ours}",
        "use vectors of the same language and kind of token, and compare upper and lower case",
    )


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", io.BufferedReader(gzip.open(path), _CHUNK)) if packed else path.open("rb", _CHUNK)


def _reader(path: Path) -> _Reader:
    """How to read the file, from its first megabyte."""
    with _open(path) as file:
        head = file.read(_CHUNK)
    if not head.strip():
        raise DataError(f"{path} is empty", _AGAIN)
    for magic, (kind, remedy) in _WRONG_KINDS.items():
        if head.startswith(magic):
            raise DataError(f"{path} {kind}", remedy)
    first, _, rest = head.partition(b"\n")
    fields = first.split()
    is_header = len(fields) == 2 and all(map(bytes.isdigit, fields))
    count, dimension = map(int, fields) if is_header else (None, len(fields) - 1)
    if count == 0 or not 0 < dimension <= MAX_DIMENSION:
        raise DataError(f"{path} line 1 is {_shown(first)}, no word with 1 to {MAX_DIMENSION} numbers", _AGAIN)
    if count is None:
        return _TextReader(path, dimension, None)
    return (_BinaryReader if _is_binary(rest, dimension) else _TextReader)(path, dimension, count)


def _is_binary(body: bytes, dimension: int) -> bool:
    """Whether the first word is followed by packed numbers, which are not readable, and not by digits."""
    numbers = body.partition(b"\n")[0].split()[1:]
    if len(numbers) == dimension and all(map(_is_number, numbers)):
        return False
    packed = body.partition(b" ")[2][: 4 * dimension]
    return not packed.isascii() or packed != packed.translate(None, _CONTROL)


@dataclass(frozen=True, slots=True)
class _Reader:
    """A format: how the rows of a file are found and their numbers read.

    `dimension` is D; `count` is what the header promises, None without a header.
    """

    path: Path
    dimension: int
    count: int | None

    def rows(self, file: BinaryIO) -> Iterator[Row]:
        raise NotImplementedError

    def vector(self, row: Row) -> NDArray[np.float32]:
        raise NotImplementedError


class _TextReader(_Reader):
    __slots__ = ()

    def rows(self, file: BinaryIO) -> Iterator[Row]:
        start, found = 1, 0
        if self.count is not None:
            file.readline()
            start = 2
        for number, line in enumerate(iter(lambda: file.readline(_CHUNK), b""), start):
            stripped = line.rstrip()
            if not stripped:
                continue
            row = self._row(number, stripped)
            if not found:
                self.vector(row)  # a file of something else is told by its first line
            found += 1
            yield row
        if self.count not in (None, found):
            raise DataError(f"{self.path}: its header promises {self.count} vectors, it has {found}", _AGAIN)

    def vector(self, row: Row) -> NDArray[np.float32]:
        fields = row.numbers.split()
        try:
            with np.errstate(over="ignore"):
                vector = np.array([float(field) for field in fields], np.float32)
        except ValueError:
            column = next(index for index, field in enumerate(fields) if not _is_number(field))
        else:
            if np.isfinite(vector).all():
                return vector
            column = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise DataError(
            f"{self.path} line {row.place}, column {column + 2}: {_shown(fields[column])} is not a finite number",
            f"each line is a word and {self.dimension} numbers; mend or remove this one",
        )

    def _row(self, number: int, line: bytes) -> Row:
        word, _, numbers = line.partition(b" ")
        if line.count(b" ") != self.dimension:
            word, numbers = self._split(number, line)
        if not word.isascii():
            self._check_utf8(number, word)
        return Row(number, word, numbers)

    def _split(self, number: int, line: bytes) -> tuple[bytes, bytes]:
        """The word and numbers of a line with tabs or several spaces, or whose word has spaces, as a few of GloVe."""
        fields = line.split()
        extra = len(fields) - 1 - self.dimension
        if extra < 0 or any(map(_is_number, fields[1 : 1 + extra])):
            raise DataError(
                f"{self.path} line {number} has {len(fields)} columns, not a word and {self.dimension} numbers", _AGAIN
            )
        return b" ".join(fields[: 1 + extra]), b" ".join(fields[1 + extra :])

    def _check_utf8(self, number: int, word: bytes) -> None:
        try:
            word.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path} line {number}, column 1: {_shown(word)} is not UTF-8 at its byte {error.start + 1}",
                "save the file as UTF-8",
            ) from error


class _BinaryReader(_Reader):
    __slots__ = ()

    def rows(self, file: BinaryIO) -> Iterator[Row]:
        assert self.count is not None
        place, start, buffer = len(file.readline()), 0, b""
        width = 4 * self.dimension
        for index in range(self.count):
            while (end := buffer.find(b" ", start)) < 0 or len(buffer) < end + 1 + width:
                more = file.read(_CHUNK)
                if not more or (end < 0 and len(buffer) - start > _MAX_WORD_BYTES):
                    raise self._broken(place + start, index)
                buffer, place, start = buffer[start:] + more, place + start, 0
            yield Row(place + start, buffer[start:end].lstrip(b"\n"), buffer[end + 1 : end + 1 + width])
            start = end + 1 + width
        if (buffer[start:] + file.read(_CHUNK)).strip(b"\n"):
            raise DataError(f"{self.path} goes on at byte {place + start}, after its {self.count} vectors", _AGAIN)

    def vector(self, row: Row) -> NDArray[np.float32]:
        vector = np.frombuffer(row.numbers, "<f4")
        if np.isfinite(vector).all():
            return vector
        raise DataError(f"{self.path} byte {row.place}: the vector of {_shown(row.word)} is not finite", _AGAIN)

    def _broken(self, place: int, index: int) -> DataError:
        return DataError(
            f"{self.path} byte {place}: vector {index + 1} of {self.count} is not whole: the file is truncated or its"
            f" header, with {self.dimension} numbers for each, is wrong",
            _AGAIN,
        )


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _bytes(word: str) -> bytes:
    return word.encode(errors="surrogatepass")  # a lone surrogate is in no file


def _shown(word: bytes) -> str:
    return repr(word[:40].decode(errors="replace"))
