"""Rules between the sections of an experiment: what each section alone cannot see."""

from __future__ import annotations

import math
from collections.abc import Iterator

from raytune_app.spec.domains import Domain, Kind
from raytune_app.errors import Problem
from raytune_app.spec.grammar import AshaSpec, Experiment

MAX_GRID = 100_000


def cross_check(experiment: Experiment) -> list[Problem]:
    """Every broken rule, in the order of the file."""
    return [*_data(experiment), *_search(experiment), *_scheduler(experiment), *_train(experiment)]


def grid_size(experiment: Experiment) -> int:
    """How many combinations grid search would try."""
    return math.prod(len(domain.arguments) for domain in experiment.domains().values())


def _data(experiment: Experiment) -> Iterator[Problem]:
    data = experiment.data
    if data.name == "image_folder" and not data.path:
        yield Problem("data.path", "missing", "image_folder needs the folder of the pictures", "add `path:`")
    if data.name == "image_folder" and not data.image_size:
        yield Problem("data.image_size", "missing", "pictures of any size need a common one", "add `image_size: 64`")


def _search(experiment: Experiment) -> Iterator[Problem]:
    for path, domain in experiment.domains().items():
        if experiment.search.name == "grid" and not domain.is_listed:
            yield Problem(path, str(domain.kind), "grid search needs listed values", "use `grid: [...]` or random search")
        if experiment.search.name == "random" and domain.kind is Kind.GRID:
            yield Problem(path, "grid", "random search does not enumerate", "use `choice: [...]` or `search: {name: grid}`")
    if experiment.search.name == "grid":
        yield from _grid(experiment)


def _grid(experiment: Experiment) -> Iterator[Problem]:
    if not all(domain.is_listed for domain in experiment.domains().values()):
        return
    size = grid_size(experiment)
    if size > MAX_GRID:
        yield Problem("search", f"{size} combinations", f"grid search tries at most {MAX_GRID}", "use random search")
    elif experiment.trials is not None and experiment.trials != size:
        yield Problem("trials", str(experiment.trials), f"the grid has {size} combinations", "leave `trials` out")


def _scheduler(experiment: Experiment) -> Iterator[Problem]:
    scheduler = experiment.scheduler
    if isinstance(scheduler, AshaSpec) and scheduler.grace > experiment.train.epochs:
        yield Problem(
            "scheduler.grace", str(scheduler.grace), f"is more than train.epochs ({experiment.train.epochs})",
            "lower grace or raise epochs",
        )  # fmt: skip


def _train(experiment: Experiment) -> Iterator[Problem]:
    train = experiment.train
    if train.nesterov is True and not isinstance(train.momentum, Domain) and train.momentum == 0:
        yield Problem("train.nesterov", "true", "Nesterov needs momentum above 0", "set `momentum: 0.9`")
