"""Stratified samples, splits and folds: every class keeps its share, and the same seed draws the same pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raytune_app.errors import DataError

Indices = NDArray[np.int64]


def stratified_split(
    labels: Indices, share: float, rng: np.random.Generator, classes: Sequence[str]
) -> tuple[Indices, Indices]:
    """Split so that about `share` of each class, and at least one picture on either side, goes to the second part.

    Args:
        labels: int64 [N], indices into `classes`.
        share: of the second part, between 0 and 1.
        rng: the only source of randomness.
        classes: the label names, for the error.

    Returns:
        The indices of the first and of the second part, each in ascending order.

    Raises:
        DataError: a class has fewer than two pictures.
    """
    counts = np.bincount(labels, minlength=len(classes))
    _check_counts(counts, classes)
    wanted = np.clip(_apportion(counts, round(share * len(labels))), 1, counts - 1)
    held_out = _draw(labels, wanted, rng)
    return np.setdiff1d(np.arange(len(labels)), held_out, assume_unique=True), held_out


def stratified_sample(labels: Indices, size: int, rng: np.random.Generator, classes: Sequence[str]) -> Indices:
    """Draw `size` indices, each class by its share (largest remainder), in ascending order; all of them if `size` >= N.

    Raises:
        DataError: `size` leaves a class without two pictures, so that it could not be split.
    """
    if size >= len(labels):
        return np.arange(len(labels))
    wanted = _apportion(np.bincount(labels, minlength=len(classes)), size)
    _check_counts(wanted, classes)
    return _draw(labels, wanted, rng)


def stratified_folds(
    labels: Indices, count: int, rng: np.random.Generator, classes: Sequence[str]
) -> tuple[Indices, ...]:
    """Deal the pictures into `count` parts: of each class, and of all pictures, any two parts differ by at most one.

    Args:
        labels: int64 [N], indices into `classes`.
        count: 2 to N.
        rng: the only source of randomness.
        classes: the label names, for the error.

    Returns:
        The indices of each part in ascending order; every picture is in exactly one.

    Raises:
        DataError: a class has fewer pictures than there are parts.
    """
    counts = np.bincount(labels, minlength=len(classes))
    smallest = int(np.argmin(counts))
    if counts[smallest] < count:
        raise DataError(
            f"class {classes[smallest]!r} has {counts[smallest]} examples, too few for one in each of {count} folds",
            "lower folds, add some of this class, or raise data.train_limit",
        )
    dealt = _draw_in_turn(labels, len(classes), rng)
    return tuple(np.sort(dealt[part::count]) for part in range(count))


def _draw_in_turn(labels: Indices, classes: int, rng: np.random.Generator) -> Indices:
    """All indices, one class after the other, each class shuffled."""
    return np.concatenate([rng.permutation(np.flatnonzero(labels == label)) for label in range(classes)])


def _check_counts(counts: Indices, classes: Sequence[str]) -> None:
    smallest = int(np.argmin(counts))
    if counts[smallest] < 2:
        raise DataError(
            f"class {classes[smallest]!r} has {counts[smallest]} of {counts.sum()} training examples, too few to split",
            "give every class at least 2 examples: add some, raise data.train_limit, or remove the class",
        )


def _apportion(counts: Indices, total: int) -> Indices:
    """Whole numbers proportional to `counts` that add up to `total`."""
    exact = counts * (total / counts.sum())
    floor: Indices = np.floor(exact).astype(np.int64)
    left = total - int(floor.sum())
    floor[np.argsort(floor - exact, kind="stable")[:left]] += 1
    return floor


def _draw(labels: Indices, wanted: Indices, rng: np.random.Generator) -> Indices:
    drawn = [rng.permutation(np.flatnonzero(labels == label))[:count] for label, count in enumerate(wanted)]
    return np.sort(np.concatenate(drawn)).astype(np.int64)
