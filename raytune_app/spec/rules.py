"""Rules between the sections of an experiment: what each section alone cannot see."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from raytune_app.errors import Problem
from raytune_app.spec.domains import Domain, Kind
from raytune_app.spec.grammar import AshaSpec, Experiment

MAX_GRID = 100_000


def cross_check(experiment: Experiment, faulty: Sequence[str] = ()) -> list[Problem]:
    """Every broken rule, in the order of the file; rules that read one of the `faulty` paths are left out."""
    return [
        problem
        for rule, reads in _RULES.items()
        if not any(_overlap(path, read) for path in faulty for read in reads)
        for problem in rule(experiment)
    ]


def grid_size(experiment: Experiment) -> int:
    """How many combinations grid search would try."""
    return math.prod(len(domain.arguments) for domain in experiment.domains().values())


def _folder_is_described(experiment: Experiment) -> Iterator[Problem]:
    data = experiment.data
    if data.name == "image_folder" and not data.path:
        yield Problem("data.path", "missing", "image_folder needs the folder of the pictures", "add `path:`")
    if data.name == "image_folder" and not data.image_size:
        yield Problem("data.image_size", "missing", "pictures of any size need a common one", "add `image_size: 64`")


def _domains_fit_the_search(experiment: Experiment) -> Iterator[Problem]:
    for path, domain in experiment.domains().items():
        if experiment.search.name == "grid" and not domain.is_listed:
            yield Problem(path, domain.kind, "grid search needs listed values", "use `grid: [...]` or random search")
        if experiment.search.name == "random" and domain.kind is Kind.GRID:
            remedy = "use `choice: [...]` or `search: {name: grid}`"
            yield Problem(path, domain.kind, "random search does not enumerate", remedy)


def _grid_is_countable(experiment: Experiment) -> Iterator[Problem]:
    domains = experiment.domains().values()
    if experiment.search.name != "grid" or not domains or not all(domain.is_listed for domain in domains):
        return
    size = grid_size(experiment)
    if size > MAX_GRID:
        yield Problem("search", f"{size} combinations", f"grid search tries at most {MAX_GRID}", "use random search")
    elif experiment.trials not in (None, size):
        yield Problem("trials", str(experiment.trials), f"the grid has {size} combinations", "leave `trials` out")


def _grace_is_within_the_epochs(experiment: Experiment) -> Iterator[Problem]:
    scheduler, epochs = experiment.scheduler, experiment.train.epochs
    if isinstance(scheduler, AshaSpec) and scheduler.grace > epochs:
        rule = f"is more than train.epochs ({epochs})"
        yield Problem("scheduler.grace", str(scheduler.grace), rule, "lower grace or raise epochs")


def _nesterov_has_momentum(experiment: Experiment) -> Iterator[Problem]:
    train = experiment.train
    if True in _possible(train.nesterov) and 0 in _possible(train.momentum):
        rule = "Nesterov needs momentum above 0 in every trial"
        yield Problem("train.nesterov", "true", rule, "set `momentum: 0.9`, or leave 0 out of its domain")


def _possible(value: Any) -> tuple[Any, ...]:
    """The value, or those of a domain that decide whether all of it is valid."""
    return value.edges() if isinstance(value, Domain) else (value,)


def _overlap(path: str, other: str) -> bool:
    return f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")


_TUNABLE = ("model", "train", "augment")
_RULES: dict[Callable[[Experiment], Iterator[Problem]], tuple[str, ...]] = {
    _folder_is_described: ("data",),
    _domains_fit_the_search: ("search", *_TUNABLE),
    _grid_is_countable: ("search", "trials", *_TUNABLE),
    _grace_is_within_the_epochs: ("scheduler", "train.epochs"),
    _nesterov_has_momentum: ("train.nesterov", "train.momentum"),
}
"""Each rule and the paths it reads."""
