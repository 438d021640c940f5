"""Encoded texts on a device: what a batch is made of, and how little of it is padding."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raytune_app.data.tokens import Encoded
from raytune_app.models.text_classifier import padded
from raytune_app.training.sentences import Sentences

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=200)
texts = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12), min_size=1, max_size=8)
sizes = st.integers(1, 20)


def sentences(ids: list[list[int]]) -> Sentences:
    offsets = np.cumsum([0, *map(len, ids)])
    encoded = Encoded(np.concatenate([np.array(text, np.int32) for text in ids]), offsets)
    return Sentences.of(encoded, np.arange(len(ids)), torch.device("cpu"))


def of_lengths(lengths: list[int]) -> Sentences:
    return sentences([[1] * length for length in lengths])


def order(placed: Sentences, size: int, seed: int) -> tuple[Tensor, ...]:
    return placed.order(size, torch.Generator().manual_seed(seed))


def slots(lengths: list[int], batches: list[list[int]]) -> int:
    """Places in all batches together, padding included."""
    return sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)


@given(texts, st.data())
def test_a_batch_has_each_texts_ids_followed_by_zeros(ids: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(ids) - 1), min_size=1, max_size=9))
    batch, labels = sentences(ids).take(torch.tensor(chosen))
    longest = max(len(ids[index]) for index in chosen)
    assert batch.tolist() == [ids[index] + [0] * (longest - len(ids[index])) for index in chosen]
    assert labels.tolist() == chosen
    assert batch.dtype == labels.dtype == torch.int64


def test_texts_out_of_a_flat_array_stand_side_by_side() -> None:
    flat, starts, counts = torch.tensor([7, 8, 9, 5, 6]), torch.tensor([3, 0, 4]), torch.tensor([2, 3, 1])
    assert padded(flat, starts, counts).tolist() == [[5, 6, 0], [7, 8, 9], [6, 0, 0]]


@given(lengths, sizes, st.integers(0, 9))
def test_an_epoch_has_every_index_once_in_batches_of_the_size_asked(counts: list[int], size: int, seed: int) -> None:
    batches = order(of_lengths(counts), size, seed)
    assert sorted(torch.cat(batches).tolist()) == list(range(len(counts)))
    whole, rest = divmod(len(counts), size)
    assert sorted(map(len, batches)) == [rest] * (rest > 0) + [size] * whole


@given(lengths, sizes)
def test_the_seed_alone_decides_the_order(counts: list[int], size: int) -> None:
    placed = of_lengths(counts)
    assert all(map(torch.equal, order(placed, size, 3), order(placed, size, 3)))


def test_another_epoch_has_another_order_and_other_batches() -> None:
    placed = of_lengths([5] * 40 + [6] * 40)
    first, second = order(placed, 8, 0), order(placed, 8, 1)
    assert torch.cat(first).tolist() != torch.cat(second).tolist()
    met, met_then = ({frozenset(batch.tolist()) for batch in batches} for batches in (first, second))
    assert len(met & met_then) < 2, "texts of equal length meet others"


def test_the_batches_of_an_epoch_do_not_come_by_length() -> None:
    counts = list(range(1, 401))
    means = [float(batch.double().mean()) for batch in order(of_lengths(counts), 8, 0)]
    assert means != sorted(means) and means != sorted(means, reverse=True)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


def test_batches_of_like_length_have_far_less_padding_than_random_ones() -> None:
    rng = np.random.default_rng(0)
    counts = np.maximum(1, rng.lognormal(2.5, 1, 600)).astype(int).tolist()
    ours = slots(counts, [batch.tolist() for batch in order(of_lengths(counts), 10, 0)])
    random = slots(counts, [part.tolist() for part in np.split(rng.permutation(600), 60)])
    wasted, wasted_at_random = ours - sum(counts), random - sum(counts)
    assert wasted < 0.2 * wasted_at_random
    assert wasted_at_random > sum(counts)


@given(lengths, sizes)
def test_validation_batches_have_each_text_once_the_longest_first(counts: list[int], size: int) -> None:
    batches = list(of_lengths(counts).batches(size))
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(len(counts)))
    assert all(len(labels) <= size for _, labels in batches)
    for ids, labels in batches:
        assert (ids != 0).sum(1).tolist() == [counts[label] for label in labels]
    shapes = [ids.shape[1] for ids, _ in batches]
    assert shapes == sorted(shapes, reverse=True)


def test_a_validation_batch_of_long_texts_is_small() -> None:
    counts = [40_000, 30_000, 30_000, 3]
    assert [tuple(ids.shape) for ids, _ in of_lengths(counts).batches(500)] == [(1, 40_000), (2, 30_000), (1, 3)]
