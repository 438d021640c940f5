"""Cross-validation: the training and validation parts together, dealt into folds; the test part stays sealed.

A fold is two index arrays over one shared array of pictures, so k folds take the memory of one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from raytune_app.data.arrays import Arrays, Examples, Training, pixel_moments
from raytune_app.data.split import Indices, stratified_folds
from raytune_app.errors import InputError
from raytune_app.spec.grammar import Experiment

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per channel."""

_FLAT = 1e-6
"""A channel with less spread never varies."""


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Examples and which of them each fold leaves out.

    Attributes:
        data: what the folds were made of.
        union: the training part followed by the validation part: one copy of both.
        left_out: for each fold the indices that it scores, ascending; every example is left out by exactly one fold.
        moments: of pictures: for each fold mean and std per channel of pixels / 255, over those it trains on.
    """

    data: Training
    union: Examples
    left_out: tuple[Indices, ...]
    moments: tuple[Moments, ...]

    def __len__(self) -> int:
        return len(self.left_out)

    def training(self, fold: int) -> Indices:
        """The indices that a fold trains on, ascending."""
        return np.delete(np.arange(len(self.union)), self.left_out[fold])

    def describe(self, fold: int) -> Training:
        """The data as a fold's network may know them: pictures normalised by those it trains on; of texts its own."""
        if isinstance(self.union, Arrays):
            mean, std = self.moments[fold]
            return replace(self.data, mean=mean, std=std)
        train, validation = self.union.take(self.training(fold)), self.union.take(self.left_out[fold])
        return replace(self.data, train=train, validation=validation, encoded=None)


def fold_count(experiment: Experiment, data: Training, *, examples_per_s: float | None = None) -> int:
    """How many trainings one trial of a cross-validated experiment is.

    Args:
        experiment: with `folds`.
        data: its two parts together are what `loo` leaves pictures out of.
        examples_per_s: how fast one training is here, if that is known: the refusal then says how long it would take.

    Raises:
        InputError: more than `folds.limit`, or one picture only; the message carries what it would cost.
    """
    folds = experiment.folds
    assert folds is not None, "an experiment without folds"
    examples = len(data.train) + len(data.validation)
    count = examples if folds.k == "loo" else folds.k
    if count > folds.limit:
        shown = experiment.train.epochs * count * (examples - examples // count)
        rate = examples_per_s
        seconds = f", about {shown / rate:,.0f} s at {rate:,.0f} examples/s" if rate else ""
        raise InputError(
            f"folds: {folds.k} is {count:,} trainings a trial, more than folds.limit ({folds.limit}): {count:,} folds x"
            f" {experiment.train.epochs} epochs x {examples - examples // count:,} examples ="
            f" {shown:,} examples a trial{seconds}",
            "use fewer folds, lower data.train_limit, or raise folds.limit if you mean it",
        )
    return count


def make_folds(experiment: Experiment, data: Training) -> Folds:
    """The folds of an experiment: they follow from its data and `experiment.seed`, so all its trials share them.

    The union of both parts is one copy; a process makes it once for the same `data` and shares it from then on.

    Raises:
        InputError: more folds than `folds.limit`.
        DataError: a class has fewer pictures than there are folds (`loo` excepted).
    """
    assert experiment.folds is not None, "an experiment without folds"
    return _deal(data, fold_count(experiment, data), experiment.seed, is_loo=experiment.folds.k == "loo")


@functools.lru_cache(maxsize=1)  # Training is compared by identity
def _deal(data: Training, count: int, seed: int, *, is_loo: bool) -> Folds:
    union = _union(data)
    if is_loo:
        left_out = tuple(np.arange(count).reshape(-1, 1))
    else:
        left_out = stratified_folds(union.labels, count, np.random.default_rng([seed, 1]), data.classes)
    return Folds(data, union, left_out, _moments(union, left_out) if isinstance(union, Arrays) else ())


def _union(data: Training) -> Examples:
    if isinstance(data.train, Arrays):
        train, validation = data.pictures
        return train.joined(validation)
    texts, held_out = data.texts
    return texts.joined(held_out)


def _moments(union: Arrays, left_out: tuple[Indices, ...]) -> tuple[Moments, ...]:
    """`pixel_moments` of each fold's training pictures, joined from those of the other folds' pictures."""
    of_each = [pixel_moments(union.images[indices]) for indices in left_out]
    mean = np.array([mean for mean, _ in of_each])
    std = np.array([[value if value < 1 else 0.0 for value in std] for _, std in of_each])  # 1 stands for 0
    sizes = np.array([len(indices) for indices in left_out])
    joined = []
    for fold in range(len(left_out)):  # never subtracted from the whole: no bit may depend on what is left out
        shares = np.delete(sizes, fold) / np.delete(sizes, fold).sum()
        first, second = (shares @ np.delete(each, fold, axis=0) for each in (mean, std**2 + mean**2))
        spread = np.sqrt(np.maximum(second - first**2, 0))
        joined.append((tuple(map(float, first)), tuple(float(value) if value > _FLAT else 1.0 for value in spread)))
    return tuple(joined)
