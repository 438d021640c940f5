from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from raytune_app.data import sentences
from raytune_app.data.sentences import BUILTIN, sentiment, topic
from raytune_app.data.texts import TextSource, folded, leaked, without_duplicates
from raytune_app.errors import DataError

SOURCES = {"sentiment": sentiment(), "with neutral": sentiment(neutral=True), "topic": topic()}


@pytest.fixture(scope="module", params=SOURCES.values(), ids=list(SOURCES))
def source(request: pytest.FixtureRequest) -> TextSource:
    return request.param  # type: ignore[no-any-return]


def test_no_text_stands_twice_or_on_both_sides_of_the_seal(source: TextSource) -> None:
    train, test = source.train(), source.test()
    assert not len(leaked(train, test))
    both = [*train, *test]
    assert len(without_duplicates(both, [0] * len(both)).kept) == len(both) > 15_000


def test_about_a_fifth_of_every_class_is_sealed(source: TextSource) -> None:
    classes = len(source.classes)
    train, test = (np.bincount(part().labels, minlength=classes) for part in (source.train, source.test))
    assert np.all(np.abs(test / (train + test) - 0.2) < 0.02)


def test_a_sentence_is_sealed_for_every_task_or_for_none() -> None:
    train = {folded(text) for source in SOURCES.values() for text in source.train()}
    test = {folded(text) for source in SOURCES.values() for text in source.test()}
    assert not train & test


def test_labels_are_those_of_the_ratings_and_sources_in_the_file() -> None:
    table = pq.read_table(BUILTIN).to_pydict()
    rating = dict(zip(table["text"], table["rating"], strict=True))
    origin = dict(zip(table["text"], table["source"], strict=True))
    with_neutral, topics = sentiment(neutral=True), topic()
    for part in (with_neutral.train(), with_neutral.test()):
        for text, label in zip(part, part.labels, strict=True):
            assert label == (0 if rating[text] <= -0.5 else 1 if rating[text] >= 0.5 else 2)
    for part in (topics.train(), topics.test()):
        assert all(
            origin[text] == topics.classes[label].replace(" ", "_")
            for text, label in zip(part, part.labels, strict=True)
        )


def test_two_classes_are_the_three_without_the_neutral_one() -> None:
    assert (sentiment().classes, sentiment(neutral=True).classes[:2]) == (("negative", "positive"),) * 2
    three, two = sentiment(neutral=True).train(), sentiment().train()
    rated = three.take(np.flatnonzero(three.labels != 2))
    assert list(rated) == list(two)
    assert rated.labels.tolist() == two.labels.tolist()


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "BUILTIN", tmp_path / "none.parquet")
    source = topic()
    with pytest.raises(DataError, match="cannot be read"):
        source.test()


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = bytearray(BUILTIN.read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "damaged.parquet").write_bytes(raw)
    monkeypatch.setattr(sentences, "BUILTIN", tmp_path / "damaged.parquet")
    with pytest.raises(DataError, match="damaged"):
        sentiment().train()


def test_the_licence_lies_beside_the_data_and_names_its_authors() -> None:
    notice = (BUILTIN.parent / "LICENSE.md").read_text(encoding="utf-8")
    assert "The MIT License" in notice and "Copyright (c) 2016 C.J. Hutto" in notice
    assert sentences._SHA256 in notice
