"""Which configuration is trial n: a function of the experiment and n alone, so order and restarts change nothing."""

from __future__ import annotations

import hashlib
import itertools
import random
from typing import Any

from raytune_app.spec.grammar import Experiment
from raytune_app.spec.rules import grid_size

DEFAULT_TRIALS = 10


def trial_count(experiment: Experiment) -> int:
    """How many configurations the study tries; 1 if nothing is searched."""
    if experiment.search.name == "grid":
        return grid_size(experiment)
    return experiment.trials or (DEFAULT_TRIALS if experiment.domains() else 1)


def suggest(experiment: Experiment, number: int) -> dict[str, Any]:
    """The values of trial `number` (from 0) by dotted path, for `spec.resolve`."""
    if experiment.search.name == "grid":
        return _combination(experiment, number)
    return {path: domain.sample(_rng(experiment.seed, number, path)) for path, domain in experiment.domains().items()}


def trial_seed(experiment: Experiment, number: int) -> int:
    """The seed of trial `number`: its weights, shuffling and augmentation."""
    return _rng(experiment.seed, number, "training").randrange(2**31)


def is_of_shape(path: str) -> bool:
    """True if the setting changes the network's shape or the batch's: what fits, and how fast it is, depends on it."""
    return path.startswith("model.") or path == "train.batch_size"


def _combination(experiment: Experiment, number: int) -> dict[str, Any]:
    domains = experiment.domains()
    values = itertools.product(*(domain.arguments for domain in domains.values()))
    return dict(zip(domains, next(itertools.islice(values, number, None)), strict=True))


def _rng(*key: object) -> random.Random:
    """One stream per parameter: adding a domain leaves the draws of the others as they were."""
    return random.Random(hashlib.sha256(repr(key).encode()).digest())
