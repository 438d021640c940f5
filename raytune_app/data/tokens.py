"""Texts as integer ids: words, characters or character n-grams, the same in training and in serving.

A tokenizer is part of a model version. It is rebuilt from plain JSON values, and what it makes of a text depends on
these and on the text alone, never on the texts beside it. Characters are classed by Python's own Unicode tables, so
only characters younger than these can be read otherwise by another Python.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from raytune_app.data.vocabulary import UNKNOWN, Vocabulary
from raytune_app.data.words import Tokens, characters, fold, grams, words
from raytune_app.errors import DataError

Ids = NDArray[np.int32]
Counts = NDArray[np.int64]

_BLOCK = 2**19
"""Characters taken apart at once; a longer text is a block of its own."""

_BOUNDS = {"ngram": (2, 5), "max_size": (3, 10_000_000), "min_count": (1, 2**31), "max_length": (1, 1_000_000)}


class Kind(StrEnum):
    """What a token is.

    Attributes:
        WORD: letters, digits and their marks with inner apostrophes; any other character but space alone.
        CHAR: a character, spaces too: for scripts without spaces and for misspelt text.
        CHAR_NGRAM: n characters of a word between < and >, as in fastText (Bojanowski et al. 2017).
    """

    WORD = "word"
    CHAR = "char"
    CHAR_NGRAM = "char_ngram"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSettings:
    """How texts become tokens.

    Attributes:
        kind: what a token is.
        lower: whether upper and lower case are one.
        ngram: characters of a `char_ngram`, 2 to 5; the other kinds leave it alone.
        max_size: the most rows of the embedding table, padding and unknown included.
        min_count: tokens that occur less often in the training texts are unknown.
        max_length: tokens; the rest of a text is cut off.

    Raises:
        DataError: a number is out of its bounds, or a value is of another type.
    """

    kind: Kind = Kind.WORD
    lower: bool = True
    ngram: int = 3
    max_size: int = 20_000
    min_count: int = 1
    max_length: int = 256

    def __post_init__(self) -> None:
        if not isinstance(self.kind, Kind):
            raise DataError(f"kind is {self.kind!r}", f"choose one of {', '.join(Kind)}")
        if type(self.lower) is not bool:
            raise DataError(f"lower is {self.lower!r}", "choose true or false")
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise DataError(f"{name} is {value!r}", f"choose a whole number from {low} to {high}")


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The ids of N texts, one after the other; each text has at least one.

    Attributes:
        ids: int32 [T], rows of the embedding table.
        offsets: int64 [N + 1]; text i is `ids[offsets[i]:offsets[i + 1]]`.
    """

    ids: Ids
    offsets: Counts

    def __post_init__(self) -> None:
        assert self.ids.dtype == np.int32 and self.offsets.dtype == np.int64, (self.ids.dtype, self.offsets.dtype)
        assert self.offsets[0] == 0 and self.offsets[-1] == len(self.ids), (self.offsets, len(self.ids))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Ids:
        """The ids of text `index`, 0 to N - 1."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> Counts:
        """int64 [N], each from 1 to `max_length`."""
        return np.diff(self.offsets)

    def take(self, indices: Counts) -> Encoded:
        """A copy of the texts at `indices`, in that order."""
        lengths = self.lengths[indices]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[indices] - offsets[:-1], lengths)
        return Encoded(self.ids[places], offsets)

    def batches(self, size: int, tokens: int) -> Iterator[Counts]:
        """The indices of all texts in batches of like length, the longest first.

        Args:
            size: texts in a batch at most.
            tokens: and ids, with the padding to the longest; a text of more is a batch alone.
        """
        lengths = self.lengths
        order = np.argsort(-lengths, kind="stable")
        while len(order):
            count = max(1, min(size, tokens // int(lengths[order[0]])))
            yield order[:count]
            order = order[count:]


class Tokenizer:
    """Settings and a vocabulary: all that turns a text into ids."""

    def __init__(self, settings: TokenizerSettings, vocabulary: Vocabulary) -> None:
        self.settings = settings
        self.vocabulary = vocabulary

    def tokens(self, text: str) -> list[str]:
        """The tokens of one text, at most `max_length`, known or not."""
        taken = _take_apart(self.settings, [text])
        return [taken.distinct[number] for number in taken.numbers]

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The ids of each text's tokens; a text without any gets a single `UNKNOWN`.

        Any text is taken, and in linear time. Of more than 30 marks on one letter the rest is left out, and a lone
        surrogate is unknown.
        """
        blocks = [self._encode(block) for block in _blocks(texts)]
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum(np.concatenate([offsets[:0], *(lengths for _, lengths in blocks)]), out=offsets[1:])
        return Encoded(np.concatenate([np.empty(0, np.int32), *(ids for ids, _ in blocks)]), offsets)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values, of which `from_dict` makes the same tokenizer."""
        return {**asdict(self.settings), "kind": self.settings.kind.value, "vocabulary": list(self.vocabulary.tokens)}

    @classmethod
    def from_dict(cls, stored: object) -> Tokenizer:
        """What `to_dict` gave, checked: it comes out of a file.

        Raises:
            DataError: something is missing, unknown, of another type or contradicts the rest.
        """
        try:
            return cls(*_checked(stored))
        except DataError as error:
            said = f"the stored tokenizer cannot be used: {error.message}"
            raise DataError(said, "restore the file from where it was copied, or train the model again") from error

    def _encode(self, texts: Sequence[str]) -> tuple[Ids, Counts]:
        taken = _take_apart(self.settings, texts)
        ids = self.vocabulary.ids(taken.distinct)[taken.numbers]
        empty = np.flatnonzero(taken.lengths == 0)
        if len(empty):
            ids = np.insert(ids, np.cumsum(taken.lengths)[empty], UNKNOWN)
        return ids, np.maximum(taken.lengths, 1)


def build_tokenizer(settings: TokenizerSettings, texts: Iterable[str]) -> Tokenizer:
    """A tokenizer that knows the most frequent tokens of `texts`, which must be the training part alone.

    Raises:
        DataError: no token occurs `min_count` times.
    """
    return Tokenizer(settings, Vocabulary.of_counts(_count(settings, texts), settings.max_size, settings.min_count))


def _count(settings: TokenizerSettings, texts: Iterable[str]) -> Counter[str]:
    counts = Counter[str]()
    for block in _blocks(texts):
        taken = _take_apart(settings, block)
        times = np.bincount(taken.numbers, minlength=len(taken.distinct)).tolist()
        counts.update(dict(zip(taken.distinct, times, strict=True)))
    return counts


def _take_apart(settings: TokenizerSettings, texts: Sequence[str]) -> Tokens:
    folded = [fold(text, lower=settings.lower) for text in texts]
    if settings.kind is Kind.CHAR_NGRAM:
        taken = grams(folded, settings.ngram)
    else:
        taken = words(folded) if settings.kind is Kind.WORD else characters(folded)
    return taken.cut(settings.max_length)


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    block, size = list[str](), 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size >= _BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _checked(stored: object) -> tuple[TokenizerSettings, Vocabulary]:
    names = {field.name for field in fields(TokenizerSettings)}
    if not isinstance(stored, Mapping) or set(stored) != names | {"vocabulary"}:
        raise DataError(f"it does not have exactly the entries {', '.join(sorted(names))}, vocabulary")
    if stored["kind"] not in list(Kind):
        raise DataError(f"its kind is {stored['kind']!r:.40}, none of {', '.join(Kind)}")
    values = {name: stored[name] for name in names}
    settings = TokenizerSettings(**{**values, "kind": Kind(stored["kind"])})
    vocabulary = Vocabulary.of_stored(stored["vocabulary"])
    if len(vocabulary) > settings.max_size:
        raise DataError(f"the vocabulary has {len(vocabulary.tokens)} tokens, too many for max_size")
    if settings.kind is Kind.CHAR and max(map(len, vocabulary.tokens)) > 1:
        raise DataError("the vocabulary has a token of more than one character")
    return settings, vocabulary
