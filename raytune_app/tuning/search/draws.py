"""Random and grid search: configuration n is a function of the experiment and n alone, so nothing has to be learnt."""

from __future__ import annotations

import hashlib
import itertools
import random

from raytune_app.spec.grammar import Experiment
from raytune_app.tuning.search.base import Search, Values


def stream(*key: object) -> random.Random:
    """The random numbers that belong to a key: the same on every machine, independent of those of other keys."""
    return random.Random(hashlib.sha256(repr(key).encode()).digest())


class RandomSearch(Search):
    """Every value drawn from its own domain; a further domain leaves the draws of the others as they were."""

    def __init__(self, experiment: Experiment) -> None:
        self._seed = experiment.seed
        self._domains = experiment.domains()

    def suggest(self, number: int) -> Values:
        return {path: domain.sample(stream(self._seed, number, path)) for path, domain in self._domains.items()}


class GridSearch(Search):
    """Every combination of the listed values once; the last domain of the file changes fastest."""

    def __init__(self, experiment: Experiment) -> None:
        self._domains = experiment.domains()

    def suggest(self, number: int) -> Values:
        """The combination. `number` is below `grid_size(experiment)`."""
        combinations = itertools.product(*(domain.arguments for domain in self._domains.values()))
        return dict(zip(self._domains, next(itertools.islice(combinations, number, None)), strict=True))
