"""Rules between the sections of an experiment: what each section alone cannot see."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from raytune_app.errors import Problem
from raytune_app.spec.data_rules import augmentation_is_of_the_data, data_is_described, network_takes_the_data
from raytune_app.spec.domains import Domain, Kind
from raytune_app.spec.grammar import (
    COSTS,
    TUNABLE_SECTIONS,
    Experiment,
    MedianSpec,
    Metric,
    Pb2Spec,
    PopulationSpec,
    RungsSpec,
)

MAX_GRID = 100_000
MIN_POPULATION = 4
_METRICS = ", ".join(f"{str(metric)!r}" for metric in Metric)
LEARNING = ("tpe", "gp", "cmaes", "nsga2")
"""Searches that learn from scores."""
_LEARNERS = ", ".join(LEARNING)
PERTURBABLE = (
    "train.lr",
    "train.momentum",
    "train.beta1",
    "train.beta2",
    "train.eps",
    "train.weight_decay",
    "train.l1",
    "train.l2",
    "train.label_smoothing",
    "train.clip_norm",
    "train.batch_size",
    "model.dropout",
    "augment.",
    "params.",
)
"""What a trial's next epoch may do differently: nothing that changes the shape of its state."""


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


def _domains_fit_the_search(experiment: Experiment) -> Iterator[Problem]:
    for path, domain in experiment.domains().items():
        if experiment.search.name == "grid" and not domain.is_listed:
            yield Problem(path, domain.kind, "grid search needs listed values", "use `grid: [...]` or random search")
        if experiment.search.name != "grid" and domain.kind is Kind.GRID:
            remedy = "use `choice: [...]` or `search: {name: grid}`"
            yield Problem(path, domain.kind, f"{experiment.search.name} search does not enumerate", remedy)


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
    if isinstance(scheduler, RungsSpec | MedianSpec) and scheduler.grace > epochs:
        rule = f"is more than train.epochs ({epochs})"
        yield Problem("scheduler.grace", str(scheduler.grace), rule, "lower grace or raise epochs")


def _nesterov_has_momentum(experiment: Experiment) -> Iterator[Problem]:
    train = experiment.train
    if True in _possible(train.nesterov) and 0 in _possible(train.momentum):
        rule = "Nesterov needs momentum above 0 in every trial"
        yield Problem("train.nesterov", "true", rule, "set `momentum: 0.9`, or leave 0 out of its domain")


def _training_is_ours_or_the_users(experiment: Experiment) -> Iterator[Problem]:
    has_model = experiment.model.name != "none"
    if experiment.trial is None and not has_model:
        yield Problem("model", "missing", "is required", "add `model:`")
    if experiment.trial is None and experiment.params:
        yield Problem("params", "given", "is read by a user's own training only", "add `trial: module:function`")
    if experiment.trial is None:
        return
    for path, given in (("model", has_model), ("folds", experiment.folds), ("register", experiment.register_as)):
        if given:
            yield Problem(
                path, "given", "does not go with `trial:`, whose network is its own affair", f"remove `{path}`"
            )
    if experiment.parallel:
        yield Problem("parallel", "given", "does not go with `trial:`, which trains by itself", "remove `parallel`")


def _metrics_are_known(experiment: Experiment) -> Iterator[Problem]:
    names = [objective.metric for objective in experiment.objectives]
    for metric in names:
        if experiment.trial is None and not isinstance(metric, Metric):
            close = difflib.get_close_matches(metric, list(Metric), n=1, cutoff=0.5)
            remedy = f"did you mean {str(close[0])!r}?" if close else "change the value"
            yield Problem("objective.metric", repr(metric), f"must be one of {_METRICS}", remedy)
        if experiment.trial is not None and metric in COSTS:
            yield Problem(
                "objective.metric", str(metric), "is measured on our networks only", "yield it by another name"
            )
    if names[0] in COSTS:
        rule = "says what an answer costs, not how good it is"
        yield Problem("objective.metric", str(names[0]), rule, "put it second, after `accuracy` say")
    if len(set(names)) < len(names):
        yield Problem("objective", str(names[0]), "stands twice", "give two different metrics")


def _two_objectives_need_whole_trials(experiment: Experiment) -> Iterator[Problem]:
    if len(experiment.objectives) > 1 and experiment.scheduler.name != "fifo":
        rule = "ranks by one objective, and there are two"
        yield Problem("scheduler.name", experiment.scheduler.name, rule, "set `scheduler: {name: fifo}`")
    if len(experiment.objectives) > 1 and experiment.confirm is not None:
        yield Problem("confirm", "given", "chooses by the mean of one objective, and there are two", "remove `confirm`")
    if len(experiment.objectives) > 1 and experiment.search.name == "cmaes":
        yield Problem("search.name", "cmaes", "knows one objective only", "use nsga2, tpe or gp")


def _points_are_of_the_domains(experiment: Experiment) -> Iterator[Problem]:
    domains = experiment.domains()
    if experiment.search.points and experiment.search.name == "grid":
        yield Problem("search.points", "given", "grid search has an order of its own", "remove `points`")
    for index, point in enumerate(experiment.search.points):
        for path, value in point.items():
            if path not in domains:
                close = difflib.get_close_matches(path, domains, n=1, cutoff=0.5)
                remedy = f"did you mean {close[0]!r}?" if close else f"searched are: {', '.join(domains) or 'none'}"
                yield Problem(f"search.points.{index}", path, "is not searched", remedy)
            elif not domains[path].holds(value):
                rule = f"lies outside {domains[path].to_dict()}"
                yield Problem(
                    f"search.points.{index}", f"{path}: {value!r}", rule, "move it inside, or widen the domain"
                )


def _searchers_find_what_they_need(experiment: Experiment) -> Iterator[Problem]:
    search, domains = experiment.search, experiment.domains()
    learns = search.name in LEARNING
    if search.warm_start and not learns:
        yield Problem(
            "search.warm_start", search.warm_start, f"{search.name} search learns nothing", f"use {_LEARNERS}"
        )
    if search.startup_trials and not learns:
        yield Problem(
            "search.startup_trials", str(search.startup_trials), f"{search.name} has no model", f"use {_LEARNERS}"
        )
    if search.name == "cmaes":
        for path, domain in domains.items():
            if domain.is_listed:
                yield Problem(path, str(domain.kind), "cmaes searches numbers only", "use tpe, or give a fixed value")
    if search.name not in ("random", "grid") and not domains:
        yield Problem("search.name", search.name, "there is nothing to search", "give a domain, or remove `search`")


def _populations_can_change(experiment: Experiment) -> Iterator[Problem]:
    scheduler = experiment.scheduler
    perturbed = {path: domain for path, domain in experiment.domains().items() if domain.perturb}
    if not isinstance(scheduler, PopulationSpec):
        for path in perturbed:
            yield Problem(
                f"{path}.perturb", "true", "only pbt and pb2 change values while training", "remove `perturb`"
            )
        return
    if not perturbed:
        yield Problem("scheduler.name", scheduler.name, "has nothing to perturb", "add `perturb: true` beside a domain")
    for path, domain in perturbed.items():
        if not path.startswith(PERTURBABLE):
            remedy = f"it works below {', '.join(PERTURBABLE)}"
            yield Problem(f"{path}.perturb", "true", "cannot change while a trial trains", remedy)
        if isinstance(scheduler, Pb2Spec) and domain.is_listed:
            yield Problem(f"{path}.perturb", "true", "pb2 models numbers only", "use pbt, or a numeric domain")


def _populations_are_whole(experiment: Experiment) -> Iterator[Problem]:
    scheduler = experiment.scheduler
    if not isinstance(scheduler, PopulationSpec):
        return
    if experiment.trials is None or experiment.trials < MIN_POPULATION:
        rule = f"a population needs at least {MIN_POPULATION}"
        yield Problem("trials", str(experiment.trials), rule, "set `trials: 8`")
    if experiment.search.name not in ("random", "quasirandom", "grid"):
        remedy = "use random or quasirandom"
        yield Problem("search.name", experiment.search.name, "the scheduler searches by itself", remedy)
    if scheduler.interval >= experiment.train.epochs:
        rule = f"leaves no perturbation within train.epochs ({experiment.train.epochs})"
        yield Problem("scheduler.interval", str(scheduler.interval), rule, "lower it")
    if experiment.train.patience is not None:
        rule = "would end a member for good; the population judges"
        yield Problem("train.patience", str(experiment.train.patience), rule, "remove it")


def _parallel_trials_are_possible(experiment: Experiment) -> Iterator[Problem]:
    if experiment.parallel is None:
        return
    if isinstance(experiment.scheduler, PopulationSpec):
        rule = "trials of several processes cannot copy one another"
        yield Problem("scheduler.name", experiment.scheduler.name, rule, "use asha, or remove `parallel`")
    if experiment.folds is not None:
        yield Problem("folds", str(experiment.folds.k), "does not go with `parallel`", "remove one of the two")
    workers, batch, gpus = experiment.parallel.workers, experiment.train.batch_size, experiment.resources.gpus
    if min(_possible(batch)) < workers:
        rule = f"leaves some of the {workers} workers without a picture"
        yield Problem("train.batch_size", str(min(_possible(batch))), rule, "raise it, or lower `parallel.workers`")
    if gpus != "auto" and 0 < gpus < 1:
        yield Problem("resources.gpus", f"{gpus:g}", "workers of one trial cannot share a GPU", "set `gpus: 1` or 0")


def _folds_are_affordable(experiment: Experiment) -> Iterator[Problem]:
    folds = experiment.folds
    if folds is not None and folds.k != "loo" and folds.k > folds.limit:
        rule = f"is {folds.k} whole trainings a trial; the limit is {folds.limit}"
        yield Problem("folds", str(folds.k), rule, "lower it, or raise it by `folds: {k: ..., limit: ...}`")


def _possible(value: Any) -> tuple[Any, ...]:
    """The value, or those of a domain that decide whether all of it is valid."""
    return value.edges() if isinstance(value, Domain) else (value,)


def _overlap(path: str, other: str) -> bool:
    return f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")


_RULES: dict[Callable[[Experiment], Iterator[Problem]], tuple[str, ...]] = {
    data_is_described: ("data",),
    network_takes_the_data: ("data", "model"),
    augmentation_is_of_the_data: ("data", "augment"),
    _domains_fit_the_search: ("search", *TUNABLE_SECTIONS),
    _grid_is_countable: ("search", "trials", *TUNABLE_SECTIONS),
    _grace_is_within_the_epochs: ("scheduler", "train.epochs"),
    _nesterov_has_momentum: ("train.nesterov", "train.momentum"),
    _training_is_ours_or_the_users: ("trial", "model", "params", "folds", "register", "parallel"),
    _metrics_are_known: ("objective", "trial"),
    _two_objectives_need_whole_trials: ("objective", "scheduler", "search", "confirm"),
    _points_are_of_the_domains: ("search", *TUNABLE_SECTIONS),
    _searchers_find_what_they_need: ("search", *TUNABLE_SECTIONS),
    _populations_are_whole: ("scheduler", "trials", "search", "train"),
    _populations_can_change: ("scheduler", "trials", "search", *TUNABLE_SECTIONS),
    _parallel_trials_are_possible: ("parallel", "scheduler", "folds", "train.batch_size", "resources"),
    _folds_are_affordable: ("folds",),
}
"""Each rule and the paths it reads."""
