"""A vocabulary: the tokens that a network knows, and the row of its embedding table that each one has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from raytune_app.errors import DataError

PADDING = 0
"""The id that fills short texts up."""

UNKNOWN = 1
"""The id of every token outside the vocabulary."""

RESERVED = 2
"""Ids before the first token's: padding and unknown."""

_SURROGATE = re.compile("[\ud800-\udfff]")


class Vocabulary:
    """Tokens in the order of their ids, which begin at 2, after padding and unknown.

    Its length counts padding and unknown: it is the number of rows of an embedding table.
    """

    __slots__ = ("_ids", "tokens")

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        self._ids = {token: number for number, token in enumerate(self.tokens, RESERVED)}
        assert len(self._ids) == len(self.tokens), "a token occurs twice"

    def __len__(self) -> int:
        return RESERVED + len(self.tokens)

    def ids(self, tokens: Iterable[str]) -> NDArray[np.int32]:
        """The id of each token, `UNKNOWN` for those that the vocabulary lacks."""
        return np.fromiter(map(self._ids.get, tokens, repeat(UNKNOWN)), np.int32)

    @classmethod
    def of_counts(cls, counts: Mapping[str, int], max_size: int, min_count: int) -> Vocabulary:
        """The most frequent tokens; of equally frequent ones those that sort first by code point.

        A token with a lone surrogate is never kept: no text in UTF-8 can hold it, neither can a stored file.

        Args:
            counts: how often each token occurs in the training part.
            max_size: the most rows, padding and unknown included.
            min_count: rarer tokens are left out.

        Raises:
            DataError: no token is frequent enough.
        """
        kept = [(-count, token) for token, count in counts.items() if count >= min_count]
        tokens = [token for _, token in sorted(kept) if not _SURROGATE.search(token)][: max_size - RESERVED]
        if not tokens:
            raise DataError(
                f"none of the {len(counts)} tokens in the training texts occurs {min_count} times",
                "lower min_count, or check that the text column is the right one",
            )
        return cls(tokens)

    @classmethod
    def of_stored(cls, tokens: object) -> Vocabulary:
        """A vocabulary out of a stored file's list, checked.

        Raises:
            DataError: it is not a list of tokens, or has one that is empty, broken or there twice.
        """
        if not isinstance(tokens, list) or not tokens:
            raise DataError("the vocabulary is not a list of tokens", "restore the file")
        for number, token in enumerate(tokens):
            if not isinstance(token, str) or not token or _SURROGATE.search(token):
                raise DataError(f"entry {number} of the vocabulary, {token!r:.40}, is no token", "restore the file")
        if len(set(tokens)) != len(tokens):
            raise DataError("the vocabulary has a token twice", "restore the file")
        return cls(tokens)
