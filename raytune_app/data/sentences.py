"""The embedded sentences as two tasks: `sentiment`, from their ratings, and `topic`, from where they were written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raytune_app.data.texts import Texts, TextSource, draw, without_duplicates
from raytune_app.errors import DataError

BUILTIN = Path(__file__).parent / "builtin" / "sentences" / "sentences.parquet"

SEALED_SHARE = 0.2
"""About a fifth is sealed as test. Each text's own hash decides, so both tasks seal the same texts, for ever."""

THRESHOLD = 0.5
"""A mean rating (20 people, -4 to 4) of this or more is positive, of minus this or less negative, between them neutral.

Where 20 people differ by a standard deviation of 1, their mean has a standard error of 1 / sqrt(20) = 0.22: from 0.5 on
its sign stands by two standard errors.
"""

_SHA256 = "902ea0fbde727657435b3c00aa1af7e4e4ba1709a0caeddb7d4ebfcf9e22061f"
_SENTIMENTS = ("negative", "positive", "neutral")
_TOPICS = ("tweet", "movie review", "product review", "news editorial")

Label = Callable[[pa.Table], NDArray[np.int64]]


def sentiment(*, neutral: bool = False) -> TextSource:
    """Sentences by their rating (Hutto and Gilbert 2014): negative, positive and, if asked for, neutral.

    Without `neutral` the sentences between the thresholds are left out; all others have the label they have with it.
    """
    return _source(_SENTIMENTS[: 3 if neutral else 2], _by_rating)


def topic() -> TextSource:
    """Sentences by their source: tweet, movie review, product review or news editorial."""
    return _source(_TOPICS, _by_source)


def _source(classes: tuple[str, ...], label: Label) -> TextSource:
    return TextSource(
        classes, lambda: _read(label, len(classes), sealed=False), lambda: _read(label, len(classes), sealed=True)
    )


def _read(label: Label, classes: int, *, sealed: bool) -> Texts:
    """The distinct sentences on one side of the seal, of the first `classes` classes.

    Which texts are the same is settled among all of them, before any is sealed or left out: a text whose ratings
    disagree on its class belongs to none.
    """
    table = _table()
    texts, labels = table.column("text").to_pylist(), label(table)
    distinct = without_duplicates(texts, labels).kept
    kept = [i for i in distinct if labels[i] < classes and (draw(texts[i]) < SEALED_SHARE) == sealed]
    return Texts.of([texts[i] for i in kept], labels[kept])


def _by_rating(table: pa.Table) -> NDArray[np.int64]:
    ratings = table.column("rating").to_numpy()
    return np.select([ratings <= -THRESHOLD, ratings >= THRESHOLD], [0, 1], 2).astype(np.int64)


def _by_source(table: pa.Table) -> NDArray[np.int64]:
    return np.array([_TOPICS.index(name.replace("_", " ")) for name in table.column("source").to_pylist()], np.int64)


def _table() -> pa.Table:
    remedy = "install raytune-app again: this file is part of it"
    try:
        raw = BUILTIN.read_bytes()
    except OSError as error:
        raise DataError(f"{BUILTIN} cannot be read: {error.strerror}", remedy) from error
    if hashlib.sha256(raw).hexdigest() != _SHA256:
        raise DataError(f"{BUILTIN} is damaged: its sha256 is not the original's", remedy)
    return cast("pa.Table", pq.read_table(pa.BufferReader(raw)))
