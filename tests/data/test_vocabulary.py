from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.data.vocabulary import PADDING, RESERVED, UNKNOWN, Vocabulary
from raytune_app.errors import DataError

counts = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(1, 9), min_size=1)


@given(counts, st.integers(3, 12), st.integers(1, 9))
def test_no_kept_token_is_rarer_than_one_left_out_and_the_cap_holds(
    counts: dict[str, int], max_size: int, min_count: int
) -> None:
    if max(counts.values()) < min_count:
        with pytest.raises(DataError, match=r"none of the \d+ tokens"):
            Vocabulary.of_counts(counts, max_size, min_count)
        return
    vocabulary = Vocabulary.of_counts(counts, max_size, min_count)
    kept, enough = vocabulary.tokens, [token for token in counts if counts[token] >= min_count]
    assert len(vocabulary) == RESERVED + len(kept) <= max_size
    assert len(kept) == min(len(enough), max_size - RESERVED)
    assert list(kept) == sorted(enough, key=lambda token: (-counts[token], token))[: len(kept)]


@given(counts, st.randoms(use_true_random=False))
def test_the_order_of_counting_does_not_matter(counts: dict[str, int], rng: random.Random) -> None:
    shuffled = list(counts.items())
    rng.shuffle(shuffled)
    assert Vocabulary.of_counts(dict(shuffled), 7, 1).tokens == Vocabulary.of_counts(counts, 7, 1).tokens


def test_ids_begin_after_padding_and_unknown() -> None:
    assert (PADDING, UNKNOWN) == (0, 1)
    assert Vocabulary(["cat", "dog"]).ids(["dog", "cat", "cow"]).tolist() == [3, 2, UNKNOWN]


def test_a_broken_character_is_never_kept() -> None:
    assert Vocabulary.of_counts({"\ud83d": 9, "a\udc00": 9, "😀": 1}, 10, 1).tokens == ("😀",)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"a": 2}, "not a list"),
        ("abc", "not a list"),
        ([], "not a list"),
        (["a", 7], "entry 1 of the vocabulary, 7"),
        (["a", "b", ""], "entry 2"),
        (["\ud800"], "entry 0"),
        (["a", "b", "a"], "twice"),
        (["a", ["b"]], "entry 1"),
    ],
)
def test_a_stored_list_that_is_no_vocabulary_is_refused(stored: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Vocabulary.of_stored(stored)
