"""A user's own texts as a data set: one file, or one for each part; the test part is sealed either way."""

from __future__ import annotations

import hashlib
import logging

import numpy as np

from raytune_app.data.text_file import read_texts
from raytune_app.data.texts import Texts, TextSource, TextTable, folded, several, without_duplicates, without_leakage
from raytune_app.errors import DataError
from raytune_app.spec.grammar import DataSpec

SEALED_SHARE = 0.1
"""Of one file's texts. Each text's own hash decides, so that adding texts moves none of the others across the seal."""

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
        is_sealed = np.array([sealed(text) for text in train], np.bool_)
        train, test = train.take(np.flatnonzero(~is_sealed)), train.take(np.flatnonzero(is_sealed))
    else:
        test = _read(data, data.test_path).encode(classes)
    if not len(test):
        raise DataError(f"{data.path}: too few texts to seal a test part", "add texts, or name data.test_path")

    def apart(texts: Texts, other: Texts, part: str) -> Texts:
        return texts.take(without_leakage(list(texts), list(other), data.leakage, part))

    path = data.validation_path
    if path is None:
        return TextSource(classes, lambda: apart(train, test, "test"), lambda: test)
    validation = _distinct(_read(data, path)).encode(classes)
    return TextSource(
        classes,
        lambda: apart(apart(train, test, "test"), validation, "validation"),
        lambda: test,
        lambda: apart(validation, test, "test"),
    )


def sealed(text: str) -> bool:
    """Whether a text of a single file belongs to the test part."""
    return int(hashlib.sha256(folded(text).encode()).hexdigest()[:12], 16) / 16**12 < SEALED_SHARE


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
