"""A user's own texts as a data set: one file, or one for each part; the test part is sealed either way."""

from __future__ import annotations

import functools
import logging

import numpy as np
from numpy.typing import NDArray

from raytune_app.data.text_file import read_texts
from raytune_app.data.texts import (
    Texts,
    TextSource,
    TextTable,
    draw,
    listed,
    several,
    shortened,
    without_duplicates,
    without_leakage,
)
from raytune_app.errors import DataError
from raytune_app.spec.grammar import DataSpec

SEALED_SHARE = 0.1
"""Of one file's texts. Each text's own hash decides; of a class that would have none the least one is sealed."""

_log = logging.getLogger(__name__)


def user_texts(data: DataSpec) -> TextSource:
    """The data set of `name: text_file`.

    A text that stands in a training or validation file more than once counts once, and not at all if its labels
    disagree; a warning says how many. Those that also stand in the test file, and training texts that also stand in the
    validation file, are an error, a warning, or dropped, by `data.leakage`: for that, and to know its labels, the test
    file is read beforehand.

    Raises:
        DataError: a file cannot be used; the message names file, line and column.
    """
    assert data.path is not None, "the spec's rules demand it"
    table = _read(data, data.path)
    classes = table.classes()
    train = _distinct(table).encode(classes)
    if data.test_path is None:
        sealed = _sealed(train)
        train, test = train.take(np.flatnonzero(~sealed)), train.take(np.flatnonzero(sealed))
    else:
        test = _read(data, data.test_path).encode(classes)
        _tell_of_missing(test, classes, data.test_path)
    if data.validation_path is None:
        return TextSource(classes, lambda: _whole(_apart(data, train, test), classes, data.path), lambda: test)
    validation = _apart(
        data, _distinct(_read(data, data.validation_path)).encode(classes), test, ("validation", "test")
    )
    _tell_of_missing(validation, classes, data.validation_path)
    apart = functools.partial(_apart, data, other=validation, parts=("training", "validation"))
    return TextSource(
        classes, lambda: _whole(apart(_apart(data, train, test)), classes, data.path), lambda: test, lambda: validation
    )


def _sealed(texts: Texts) -> NDArray[np.bool_]:
    """Which texts are sealed: those whose hash falls into the first tenth, and at least one of each class."""
    draws = np.array([draw(text) for text in texts])
    sealed = draws < SEALED_SHARE
    for label in np.unique(texts.labels):
        own = np.flatnonzero(texts.labels == label)
        sealed[own[draws[own].argmin()]] = True
    return sealed


def _apart(data: DataSpec, texts: Texts, other: Texts, parts: tuple[str, str] = ("training", "test")) -> Texts:
    return texts.take(without_leakage(list(texts), list(other), data.leakage, parts))


def _whole(train: Texts, classes: tuple[str, ...], path: str | None) -> Texts:
    """The training part. Raises DataError if a class has none of it."""
    counts = np.bincount(train.labels, minlength=len(classes))
    if not counts.all():
        name = shortened(classes[int(counts.argmin())])
        said = f"{path}: of class {name} no text is left to learn from, without duplicates and what is sealed"
        raise DataError(said, "add texts of this class, or remove it")
    return train


def _tell_of_missing(texts: Texts, classes: tuple[str, ...], path: str) -> None:
    counts = np.bincount(texts.labels, minlength=len(classes))
    if missing := [name for name, count in zip(classes, counts, strict=True) if not count]:
        _log.warning("%s has no text of %s: macro scores count such a class as 0", path, listed(missing))


def _read(data: DataSpec, path: str) -> TextTable:
    return read_texts(path, text=data.text, label=data.label, encoding=data.encoding)


def _distinct(table: TextTable) -> TextTable:
    """Each text once."""
    found = without_duplicates(table.texts, table.labels)
    if found.repeated or found.contradictory:
        left_out = f"{several(found.repeated, 'text that stands', 'texts that stand')} there more than once"
        said = f"{left_out} and {found.contradictory} with different labels"
        _log.warning("%s: left out %s", table.path, said)
    kept = found.kept.tolist()
    texts, labels, lines = ([part[i] for i in kept] for part in (table.texts, table.labels, table.lines))
    return TextTable(table.path, table.place, texts, labels, lines)
