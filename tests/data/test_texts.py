from __future__ import annotations

import logging
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.data.arrays import fingerprint
from raytune_app.data.texts import Texts, TextTable, folded, leaked, without_duplicates, without_leakage
from raytune_app.errors import DataError

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
spellings = ["Good film", " good  FILM\n", "bad film", "Bad\u00a0film", "\u00e9t\u00e9", "E\u0301te\u0301", "."]
same = st.sampled_from(spellings)


def of(texts: list[str]) -> Texts:
    return Texts.of(texts, list(range(len(texts))))


@given(st.lists(words, max_size=8))
def test_texts_come_back_as_they_were(texts: list[str]) -> None:
    stored = of(texts)
    assert list(stored) == texts
    assert len(stored) == len(texts)
    assert stored.utf8.tobytes() == "".join(texts).encode()
    assert [stored.text(index) for index in range(len(texts))] == texts


@given(st.data(), st.lists(words, max_size=8))
def test_taking_indices_is_taking_them_from_the_list(data: Any, texts: list[str]) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=12) if texts else st.just([]))
    indices = np.array(chosen, np.int64)
    taken = of(texts).take(indices)
    assert list(taken) == [texts[index] for index in chosen]
    assert taken.labels.tolist() == chosen
    assert fingerprint(taken, ()) == fingerprint(Texts.of([texts[index] for index in chosen], indices), ())


def test_read_only_arrays_can_be_read_and_taken_from() -> None:
    stored = of(["one", "", "three"])
    for array in (stored.utf8, stored.offsets, stored.labels):
        array.flags.writeable = False
    assert list(stored.take(np.array([2, 1, 2]))) == ["three", "", "three"]


def test_a_taken_part_of_a_taken_part_is_the_part() -> None:
    stored = of([f"text {number}" for number in range(100)])
    part = stored.take(np.arange(10, 90)).take(np.array([79, 0]))
    assert list(part) == ["text 89", "text 10"]


def test_lone_surrogates_are_refused_with_count_and_row() -> None:
    with pytest.raises(DataError, match=r"2 of 4 texts .* the first is row 1: 'bad \\ud800'"):
        of(["fine", "bad \ud800", "fine", "\udfff"])


def test_the_fingerprint_knows_contents_borders_labels_and_classes() -> None:
    first = fingerprint(Texts.of(["ab", "c"], [0, 1]), ("x", "y"))
    others = [
        fingerprint(Texts.of(["ab", "d"], [0, 1]), ("x", "y")),
        fingerprint(Texts.of(["a", "bc"], [0, 1]), ("x", "y")),
        fingerprint(Texts.of(["ab", "c"], [1, 1]), ("x", "y")),
        fingerprint(Texts.of(["ab", "c"], [0, 1]), ("x", "z")),
    ]
    assert len({first, *others}) == 5
    assert first == fingerprint(Texts.of(["ab", "c"], [0, 1]), ("x", "y"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello  World", "hello world"),
        (" tab\tand\nline ", "tab and line"),
        ("no-break\u00a0space", "no-break space"),
        ("\u00e9t\u00e9", "e\u0301te\u0301"),
        ("STRASSE", "stra\u00dfe"),
        ("\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c3"),
    ],
)
def test_case_white_space_and_the_writing_of_accents_do_not_count(one: str, other: str) -> None:
    assert folded(one) == folded(other)


def test_punctuation_accents_and_inner_blanks_count() -> None:
    assert len({folded(text) for text in ("a b", "ab", "a b.", "\u00e1 b", "a-b")}) == 5


@given(words)
def test_folding_twice_is_folding_once_and_normal_forms_fold_alike(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert folded(unicodedata.normalize("NFD", text)) == folded(unicodedata.normalize("NFC", text)) == folded(text)


@given(st.lists(st.tuples(same, st.sampled_from("pn")), max_size=12))
def test_each_text_is_kept_once_its_first_or_not_at_all_if_labels_disagree(rows: list[tuple[str, str]]) -> None:
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    distinct = without_duplicates(texts, labels)
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        groups.setdefault(folded(text), []).append(index)
    agreeing = [group for group in groups.values() if len({labels[index] for index in group}) == 1]
    assert distinct.kept.tolist() == sorted(group[0] for group in agreeing)
    assert distinct.repeated == sum(len(group) - 1 for group in agreeing)
    assert len(distinct.kept) + distinct.repeated + distinct.contradictory == len(rows)


def test_stored_texts_and_their_labels_are_deduplicated_too() -> None:
    stored = Texts.of(["a", "A", "b", "B"], [0, 0, 0, 1])
    distinct = without_duplicates(stored, stored.labels)
    assert (distinct.kept.tolist(), distinct.repeated, distinct.contradictory) == ([0], 1, 2)


@given(st.lists(same, max_size=8), st.lists(same, max_size=4))
def test_without_the_leaked_texts_no_text_stands_on_both_sides(train: list[str], test: list[str]) -> None:
    found = leaked(train, test)
    sealed = set(map(folded, test))
    assert found.tolist() == [index for index, text in enumerate(train) if folded(text) in sealed]
    kept = without_leakage(of(train), test, "drop")
    assert sorted([*kept, *found]) == list(range(len(train)))


def test_leakage_is_an_error_with_count_and_example_a_warning_or_dropped(caplog: pytest.LogCaptureFixture) -> None:
    train, test = ["new", "Old  text", "other", "old text"], ["old text", "sealed"]
    with pytest.raises(DataError, match=r"2 of 4 training texts .* 'Old  text'") as error:
        without_leakage(train, test, "error")
    assert error.value.remedy is not None and "data.leakage: drop" in error.value.remedy
    assert without_leakage(train, test, "drop").tolist() == [0, 2]
    assert not caplog.records
    assert without_leakage(train, test, "warn").tolist() == [0, 1, 2, 3]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "2 of 4" in caplog.text


def test_without_leakage_every_policy_keeps_all_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    assert without_leakage(["a", "b"], ["c"], "error").tolist() == [0, 1]
    assert without_leakage(["a", "b"], ["c"], "warn").tolist() == [0, 1]
    assert without_leakage(["a", "b"], ["c"], "drop").tolist() == [0, 1]
    assert not caplog.records


def table(*labels: str) -> TextTable:
    return TextTable("my.csv", "line", [f"text {label}" for label in labels], labels, range(2, 2 + len(labels)))


def test_classes_are_sorted_as_numbers_if_all_are() -> None:
    assert table(*"ba10", *"ba10").classes() == ("0", "1", "a", "b")
    assert table("10", "9", "-1", "10", "9", "-1").classes() == ("-1", "9", "10")


def test_a_single_class_and_classes_of_one_text_are_refused() -> None:
    with pytest.raises(DataError, match=r"my.csv: every label is 'a'"):
        table("a", "a").classes()
    with pytest.raises(DataError, match=r"my.csv: 2 classes with a single text.* 'b' in line 3"):
        table("a", "b", "a", "c").classes()


def test_labels_become_indices_into_the_classes_and_others_are_refused() -> None:
    assert table("b", "a", "b").encode(("a", "b")).labels.tolist() == [1, 0, 1]
    assert list(table("b", "a").encode(("a", "b"))) == ["text b", "text a"]
    with pytest.raises(DataError, match=r"2 labels of no known class, the first is 'c' in line 3") as error:
        table("a", "c", "d").encode(("a", "b"))
    assert error.value.remedy == "use only 'a', 'b'"
