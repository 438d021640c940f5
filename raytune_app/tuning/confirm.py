"""After the search: the best configurations trained again with fresh seeds, and the choice by their mean."""

from __future__ import annotations

import functools
import math
import statistics
from dataclasses import dataclass
from typing import Any

from raytune_app.errors import SpecError
from raytune_app.spec import Experiment, resolve
from raytune_app.spec.grammar import Section
from raytune_app.tuning.view import Role, StudyView
from raytune_app.tuning.winner import Winner, choose, rank


@dataclass(frozen=True, slots=True)
class Job:
    """A trial to run beside the search.

    Attributes:
        role: what it is for.
        of: whose configuration it has; None for the defaults.
        values: of its first epoch.
        plan: further values, by the epoch after which they hold, where the original's changed while it trained.
    """

    role: Role
    of: int | None
    values: dict[str, Any]
    plan: tuple[tuple[int, dict[str, Any]], ...] = ()


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What fresh seeds say of one configuration.

    Attributes:
        trial: of the search.
        search_score: what the search said of it: the best of many looks, so optimistic.
        scores: of the fresh seeds.
    """

    trial: int
    search_score: float
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def se(self) -> float:
        """Standard error of the mean; infinite with one score."""
        return statistics.stdev(self.scores) / math.sqrt(len(self.scores)) if len(self.scores) > 1 else math.inf


def confirm_jobs(view: StudyView, experiment: Experiment) -> list[Job]:
    """The best `top_k` of the search, `seeds` times each, seed by seed; then the defaults."""
    confirm = experiment.confirm
    if confirm is None:
        return []
    best = rank(view, view.of_role(Role.SEARCH), experiment.objective, saved=False)[: confirm.top_k]
    jobs = [_again(winner, Role.CONFIRM) for _ in range(confirm.seeds) for winner in best]
    if best and confirm.baseline and (values := defaults(experiment)) is not None:
        jobs.append(Job(Role.BASELINE, None, values))
    return jobs


def refit_jobs(view: StudyView, experiment: Experiment) -> list[Job]:
    """With folds, the chosen configuration once more on the whole training part: no fold's network has seen it all."""
    if experiment.folds is None:
        return []
    chosen = chosen_of(view, experiment)
    return [] if chosen is None else [_again(chosen, Role.REFIT)]


def chosen_of(view: StudyView, experiment: Experiment) -> Winner | None:
    """The search's trial whose configuration wins: by the mean over fresh seeds if there are any, else by its score."""
    outcome = confirmed(view, experiment)
    if not outcome:
        return choose(view, experiment)
    best = max(outcome, key=lambda one: (experiment.objective.sign * one.mean, -one.trial))
    (winner,) = rank(view, [view.trials[best.trial]], experiment.objective, saved=False)
    return winner


def confirmed(view: StudyView, experiment: Experiment) -> list[Confirmed]:
    """Every configuration with at least two scores by fresh seeds, in the order of the search's ranking."""
    objective = experiment.objective
    ranked = rank(view, view.of_role(Role.SEARCH), objective, saved=False)
    fresh = rank(view, view.of_role(Role.CONFIRM), objective)
    found = [
        Confirmed(one.trial, one.score, tuple(each.score for each in fresh if view.trials[each.trial].of == one.trial))
        for one in ranked
    ]
    return [one for one in found if len(one.scores) > 1]


def final(view: StudyView, experiment: Experiment) -> Winner | None:
    """The trial whose checkpoint is crowned: the refit, else the chosen one's best fresh seed, else the chosen one.

    The refit is taken at the epoch that was best over all folds: its own validation part is a fraction of theirs.
    """
    chosen = chosen_of(view, experiment)
    if chosen is None:
        return None
    of_it = [trial for trial in view.trials.values() if trial.of == chosen.trial]
    for role in (Role.REFIT, Role.CONFIRM):
        trials = [trial for trial in of_it if trial.role is role]
        again = rank(view, trials, experiment.objective, epoch=chosen.epoch if role is Role.REFIT else None)
        if again and (role is Role.REFIT or experiment.folds is None):
            return again[0]
        if role is Role.REFIT and trials:
            return None  # a fold's network has not seen all the data, and is not what was chosen
    return chosen


def baseline(view: StudyView, experiment: Experiment) -> Winner | None:
    """The defaults' best epoch, if they were trained."""
    return next(iter(rank(view, view.of_role(Role.BASELINE), experiment.objective)), None)


def defaults(experiment: Experiment) -> dict[str, Any] | None:
    """For each searched setting what the section's class says without the file; None if they make no whole."""
    values = {}
    for path in experiment.domains():
        *sections, name = path.split(".")
        section: Any = functools.reduce(getattr, sections, experiment) if sections[0] != "params" else None
        fields = type(section).model_fields if isinstance(section, Section) else {}
        if name not in fields or fields[name].is_required():
            return None
        values[path] = fields[name].get_default(call_default_factory=True)
    try:
        resolve(experiment, values)
    except SpecError:  # the file's fixed settings do not go with the defaults
        return None
    return values


def _again(winner: Winner, role: Role) -> Job:
    if not winner.schedule:
        return Job(role, winner.trial, winner.config)
    (_, values), *plan = winner.schedule
    return Job(role, winner.trial, values, tuple(plan))
