from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.data.split import stratified_folds, stratified_sample, stratified_split
from raytune_app.errors import DataError

counts = st.lists(st.integers(2, 40), min_size=2, max_size=6)


def labels_of(sizes: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int64)


def names(sizes: list[int]) -> list[str]:
    return [f"class {index}" for index in range(len(sizes))]


@given(counts, st.floats(0.01, 0.99), st.integers(0, 9))
def test_the_parts_are_disjoint_complete_and_both_have_every_class(sizes: list[int], share: float, seed: int) -> None:
    labels = labels_of(sizes)
    first, second = stratified_split(labels, share, np.random.default_rng(seed), names(sizes))
    assert sorted([*first, *second]) == list(range(len(labels)))
    assert set(labels[first]) == set(labels[second]) == set(range(len(sizes)))


@given(counts, st.floats(0.2, 0.8))
def test_every_class_keeps_its_share(sizes: list[int], share: float) -> None:
    labels = labels_of(sizes)
    _, second = stratified_split(labels, share, np.random.default_rng(0), names(sizes))
    assert np.all(np.abs(np.bincount(labels[second], minlength=len(sizes)) - share * np.array(sizes)) <= 1)


def test_the_same_seed_splits_the_same_and_another_differently() -> None:
    labels = labels_of([50, 50])
    one, again, other = (stratified_split(labels, 0.3, np.random.default_rng(s), "ab")[1] for s in (4, 4, 5))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@given(st.lists(st.integers(5, 40), min_size=2, max_size=6), st.floats(0.5, 1.5))
def test_a_sample_has_its_size_and_the_classes_shares(sizes: list[int], part: float) -> None:
    labels = labels_of(sizes)
    size = round(part * len(labels))
    kept = stratified_sample(labels, size, np.random.default_rng(0), names(sizes))
    assert len(kept) == len(set(kept)) == min(size, len(labels))
    if size < len(labels):
        exact = size * np.array(sizes) / len(labels)
        assert np.all(np.abs(np.bincount(labels[kept], minlength=len(sizes)) - exact) <= 1)


def test_a_class_too_small_to_split_is_named() -> None:
    with pytest.raises(DataError, match="'rare' has 1"):
        stratified_split(labels_of([9, 1]), 0.5, np.random.default_rng(0), ["often", "rare"])
    with pytest.raises(DataError, match="'rare' has 1"):
        stratified_sample(labels_of([90, 10]), 10, np.random.default_rng(0), ["often", "rare"])
    with pytest.raises(DataError, match="'none' has 0"):
        stratified_split(labels_of([9, 9]), 0.5, np.random.default_rng(0), ["often", "also", "none"])


@given(counts, st.integers(2, 9), st.integers(0, 9))
def test_folds_hold_each_picture_once_and_every_class_almost_alike(sizes: list[int], folds: int, seed: int) -> None:
    labels = labels_of([size + 7 for size in sizes])
    parts = stratified_folds(labels, folds, np.random.default_rng(seed), names(sizes))
    assert len(parts) == folds
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    shares = np.array([np.bincount(labels[part], minlength=len(sizes)) for part in parts])
    assert np.all(shares.max(axis=0) - shares.min(axis=0) <= 1)
    assert shares.min() >= 1
    assert np.ptp([len(part) for part in parts]) <= 1


def test_the_same_seed_deals_the_same_folds_and_another_others() -> None:
    labels = labels_of([50, 50])
    one, again, other = (stratified_folds(labels, 5, np.random.default_rng(s), "ab") for s in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_class_with_fewer_pictures_than_folds_is_named() -> None:
    assert len(stratified_folds(labels_of([9, 4]), 4, np.random.default_rng(0), ["often", "rare"])) == 4
    with pytest.raises(DataError, match=r"'rare' has 4 examples, too few .* 5 folds"):
        stratified_folds(labels_of([9, 4]), 5, np.random.default_rng(0), ["often", "rare"])
