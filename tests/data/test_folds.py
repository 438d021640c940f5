from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from raytune_app.data.arrays import Arrays, Training, pixel_moments
from raytune_app.data.encoding import encode_texts
from raytune_app.data.folds import fold_count, make_folds
from raytune_app.data.texts import Texts
from raytune_app.data.tokens import TokenizerSettings
from raytune_app.errors import DataError, InputError
from raytune_app.spec import Experiment, parse


def pictures(count: int, seed: int) -> Arrays:
    """Two channels, of which the second never varies; two classes, turn by turn."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 2, 4, 4), np.uint8)
    images[:, 1] = 77
    return Arrays(images, np.arange(count) % 2)


def training(train: Arrays, validation: Arrays) -> Training:
    return Training(train, validation, ("a", "b"), (0.5, 0.3), (0.2, 1.0), "")


def experiment(k: Any, *, seed: int = 0, epochs: int = 10) -> Experiment:
    sections = {"name": "test", "seed": seed, "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"}}
    return parse(sections | {"folds": k, "train": {"epochs": epochs}})


@pytest.fixture
def data() -> Training:
    return training(pictures(31, 1), pictures(12, 2))


@pytest.fixture
def changed(data: Training) -> Callable[[np.ndarray[Any, np.dtype[np.int64]]], Training]:
    """The same data with other pixels at these indices of the union."""

    def change(indices: np.ndarray[Any, np.dtype[np.int64]]) -> Training:
        images = np.concatenate([data.pictures[0].images, data.pictures[1].images])
        images[indices] = 255 - images[indices]
        parts = images[:31], images[31:]
        return training(Arrays(parts[0], data.train.labels), Arrays(parts[1], data.validation.labels))

    return change


@pytest.mark.parametrize("k", [2, 5, "loo"])
def test_the_folds_leave_out_every_picture_of_both_parts_once(data: Training, k: Any) -> None:
    folds = make_folds(experiment({"k": k}), data)
    assert len(folds) == (43 if k == "loo" else k)
    assert isinstance(folds.union, Arrays)
    assert np.array_equal(folds.union.images[:31], data.pictures[0].images)
    assert np.array_equal(folds.union.labels[31:], data.validation.labels)
    assert sorted(np.concatenate(folds.left_out)) == list(range(43))
    for fold, left_out in enumerate(folds.left_out):
        assert sorted([*folds.training(fold), *left_out]) == list(range(43))


@pytest.mark.parametrize("k", [3, "loo"])
def test_a_fold_is_normalised_by_the_pictures_it_trains_on(data: Training, k: Any) -> None:
    folds = make_folds(experiment(k), data)
    for fold in range(len(folds)):
        described = folds.describe(fold)
        assert isinstance(folds.union, Arrays)
        mean, std = pixel_moments(folds.union.images[folds.training(fold)])
        assert described.mean == pytest.approx(mean, rel=1e-9)
        assert described.std == pytest.approx(std, rel=1e-9)
        assert described.std[1] == 1


def test_no_bit_of_the_normalisation_depends_on_what_is_left_out(
    data: Training, changed: Callable[[np.ndarray[Any, np.dtype[np.int64]]], Training]
) -> None:
    folds = make_folds(experiment(3), data)
    others = make_folds(experiment(3), changed(folds.left_out[1]))
    assert others.moments[1] == folds.moments[1]
    assert others.moments[0] != folds.moments[0]


def test_all_trials_of_a_process_share_one_copy(data: Training) -> None:
    one = make_folds(experiment(3), data)
    assert make_folds(experiment(3), data) is one
    assert make_folds(experiment(3, seed=1), data) is not one
    assert one.describe(0).pictures[0].images is data.pictures[0].images


def test_the_experiments_seed_deals_the_folds(data: Training) -> None:
    one, other = (make_folds(experiment(3, seed=seed), data).left_out for seed in (0, 1))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_leaving_one_out_takes_a_class_of_one_picture_and_k_folds_do_not(data: Training) -> None:
    labels = np.array([0] * 30 + [1])
    lonely = training(Arrays(data.pictures[0].images, labels), Arrays(data.pictures[1].images, np.zeros(12, np.int64)))
    assert len(make_folds(experiment("loo"), lonely)) == 43
    with pytest.raises(DataError, match="'b' has 1 examples"):
        make_folds(experiment(2), lonely)


def test_more_folds_than_the_limit_are_refused_with_what_they_would_cost(data: Training) -> None:
    assert fold_count(experiment({"k": "loo", "limit": 43}), data) == 43
    with pytest.raises(InputError, match=r"43 folds x 10 epochs x 42 examples = 18,060 examples a trial$"):
        fold_count(experiment({"k": "loo", "limit": 42}), data)
    with pytest.raises(InputError, match=r"18,060 examples a trial, about 181 s at 100 examples/s$"):
        fold_count(experiment({"k": "loo", "limit": 42}), data, examples_per_s=100)


@pytest.mark.parametrize("k", [3, "loo"])
def test_a_fold_of_texts_is_described_by_those_it_trains_on(k: Any) -> None:
    train, validation = (
        Texts.of([f"{name} {n}" for n in range(count)], np.arange(count) % 2) for name, count in (("t", 7), ("v", 5))
    )
    data = Training(train, validation, ("a", "b"), (), (), "")
    folds = make_folds(experiment(k), replace(data, encoded=encode_texts(TokenizerSettings(), train, validation)))
    everything = [*train, *validation]
    assert isinstance(folds.union, Texts) and list(folds.union) == everything
    assert sorted(np.concatenate(folds.left_out)) == list(range(12))
    for fold, left_out in enumerate(folds.left_out):
        described = folds.describe(fold)
        held_out = [everything[index] for index in left_out]
        assert list(described.texts[1]) == held_out
        assert list(described.texts[0]) == [text for text in everything if text not in held_out]
        assert described.train.labels.tolist() == folds.union.labels[folds.training(fold)].tolist()
        assert described.encoded is None, "ids of a vocabulary that the fold may not know"
