from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raytune_app.data.augment_text import TextAugmentation, swap_neighbours
from raytune_app.data.vocabulary import PADDING, UNKNOWN

texts = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=12), min_size=1, max_size=6)
shares = st.sampled_from([0.0, 0.3, 0.7, 0.99])
seeds = st.integers(0, 99)


def padded(batch: list[list[int]], more: int = 2) -> Tensor:
    longest = more + max(map(len, batch))
    return torch.tensor([text + [PADDING] * (longest - len(text)) for text in batch])


def distinct(count: int, length: int) -> Tensor:
    """Texts in which no token stands twice."""
    return torch.arange(2, 2 + length).repeat(count, 1)


def changed(ids: Tensor, *, word_dropout: float = 0.0, swap: float = 0.0, seed: int = 0) -> Tensor:
    return TextAugmentation(word_dropout, swap)(ids, torch.Generator().manual_seed(seed))


@given(texts, shares, shares, seeds)
def test_padding_stays_where_it_is_and_the_batch_is_not_written_to(
    batch: list[list[int]], word_dropout: float, swap: float, seed: int
) -> None:
    ids = padded(batch)
    found = changed(ids, word_dropout=word_dropout, swap=swap, seed=seed)
    assert torch.equal(found == PADDING, ids == PADDING)
    assert torch.equal(ids, padded(batch))
    assert found.dtype == ids.dtype


@given(texts, shares, seeds)
def test_swaps_keep_each_texts_tokens(batch: list[list[int]], swap: float, seed: int) -> None:
    found = changed(padded(batch), swap=swap, seed=seed)
    assert [Counter(row) for row in found.tolist()] == [Counter(row) for row in padded(batch).tolist()]


@given(st.integers(1, 40), shares, seeds)
def test_a_swap_moves_no_token_further_than_one_place(length: int, swap: float, seed: int) -> None:
    found = changed(distinct(4, length), swap=swap, seed=seed)
    places = found.argsort(1)
    assert (places - torch.arange(length)).abs().max() <= 1
    assert torch.equal(found.sort(1).values, distinct(4, length))


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(0, 3))
def test_of_a_run_of_wanted_swaps_every_second_one_is_done(wanted: list[bool], padding: int) -> None:
    ids = torch.cat([torch.arange(2, 2 + len(wanted)), torch.zeros(padding, dtype=torch.int64)])[None]
    expected, place = ids[0].tolist(), 0
    while place < len(wanted) - 1:
        if wanted[place]:
            expected[place : place + 2] = expected[place + 1], expected[place]
        place += 2 if wanted[place] else 1
    found = swap_neighbours(ids, torch.tensor([wanted + [True] * padding]))
    assert found[0].tolist() == expected


@given(texts, seeds)
def test_a_probability_of_zero_changes_nothing(batch: list[list[int]], seed: int) -> None:
    assert TextAugmentation(0.0, 0.0).is_off
    assert torch.equal(changed(padded(batch), seed=seed), padded(batch))


@pytest.mark.parametrize(("word_dropout", "swap"), [(0.1, 0.0), (0.0, 0.1)])
def test_any_probability_above_zero_is_not_off(word_dropout: float, swap: float) -> None:
    assert not TextAugmentation(word_dropout, swap).is_off
    ids = distinct(50, 20)
    assert not torch.equal(changed(ids, word_dropout=word_dropout, swap=swap), ids)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_about_the_share_asked_becomes_unknown(share: float) -> None:
    """20,000 tokens: six standard deviations are at most 0.022."""
    ids = distinct(1000, 20)
    found = changed(ids, word_dropout=share)
    unknown = found == UNKNOWN
    assert float(unknown.double().mean()) == pytest.approx(share, abs=6 * (share * (1 - share) / 20_000) ** 0.5)
    assert torch.equal(found[~unknown], ids[~unknown])
    assert len({tuple(row) for row in unknown.tolist()}) > 500 * share, "each text by itself"


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_about_the_share_asked_changes_places(share: float) -> None:
    """Of two tokens there is one pair, so none overlaps; 20,000 of them."""
    ids = distinct(20_000, 2)
    swapped = changed(ids, swap=share)[:, 0] == 3
    assert float(swapped.double().mean()) == pytest.approx(share, abs=6 * (share * (1 - share) / 20_000) ** 0.5)


def test_the_generator_alone_decides() -> None:
    ids = distinct(20, 20)
    one, again, other = (changed(ids, word_dropout=0.3, swap=0.3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
