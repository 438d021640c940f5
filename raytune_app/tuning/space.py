"""Which configuration is trial n: a function of the experiment and n alone, so order and restarts change nothing."""

from __future__ import annotations

from raytune_app.spec.grammar import Experiment
from raytune_app.spec.rules import grid_size
from raytune_app.tuning.search.base import Values
from raytune_app.tuning.search.draws import GridSearch, RandomSearch, stream

DEFAULT_TRIALS = 10


def trial_count(experiment: Experiment) -> int:
    """How many configurations the study tries; 1 if nothing is searched."""
    if experiment.search.name == "grid":
        return grid_size(experiment)
    return experiment.trials or (DEFAULT_TRIALS if experiment.domains() else 1)


def suggest(experiment: Experiment, number: int) -> Values:
    """The values of trial `number` (from 0) by dotted path, for `spec.resolve`: drawn, or of the grid."""
    search = GridSearch if experiment.search.name == "grid" else RandomSearch
    return search(experiment).suggest(number)


def trial_seed(experiment: Experiment, number: int) -> int:
    """The seed of trial `number`: its weights, shuffling and augmentation."""
    return stream(experiment.seed, number, "training").randrange(2**31)


def is_of_shape(path: str) -> bool:
    """True if the setting changes the network's shape or the batch's: what fits, and how fast it is, depends on it."""
    return path.startswith("model.") or path == "train.batch_size"
