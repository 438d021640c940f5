"""Which trial won: the best checkpointed epoch by the declared metric, or the pick of a Pareto set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from raytune_app.spec.grammar import Experiment, ObjectiveSpec
from raytune_app.tuning.lineage import Schedule, schedule_of
from raytune_app.tuning.pareto import pareto_front, pick
from raytune_app.tuning.view import Role, StudyView, TrialState, TrialView


@dataclass(frozen=True, slots=True)
class Winner:
    """A trial's best checkpointed epoch: score and checkpoint always belong together.

    Attributes:
        score: the first objective's metric at that epoch.
        se: its standard error over the folds; None without folds.
        checkpoint: relative to the study folder; empty if it is there no more.
        config: the values at that epoch.
        schedule: the values from the first epoch on, if they changed while it trained.
        scores: every objective's metric.
    """

    trial: int
    epoch: int
    score: float
    checkpoint: str
    config: dict[str, Any]
    parameters: int | None
    se: float | None = None
    schedule: tuple[tuple[int, dict[str, Any]], ...] = ()
    scores: tuple[float, ...] = ()


def choose(view: StudyView, experiment: Experiment) -> Winner | None:
    """The winner of the search, or None if no trial has a checkpoint with a finite score.

    Only epochs with a checkpoint count. A trial that failed later may still win with an earlier epoch's checkpoint; one
    that diverged may not: its training is not to be trusted. Of equals the earliest trial wins.
    """
    ranked = rank(view, view.of_role(Role.SEARCH), experiment.objective, experiment.objectives)
    if not ranked or len(experiment.objectives) == 1:
        return next(iter(ranked), None)
    scores = [signed(one, experiment) for one in ranked]
    return ranked[pick(scores, experiment.pick.within)]


def pareto_set(view: StudyView, experiment: Experiment) -> list[Winner]:
    """The candidates that no other beats in both objectives, the best in the first objective first."""
    ranked = rank(view, view.of_role(Role.SEARCH), experiment.objective, experiment.objectives)
    return [ranked[index] for index in sorted(pareto_front([signed(one, experiment) for one in ranked]))]


def signed(winner: Winner, experiment: Experiment) -> list[float]:
    """Its scores, each turned so that larger is better."""
    return [objective.sign * score for objective, score in zip(experiment.objectives, winner.scores, strict=True)]


def rank(
    view: StudyView,
    trials: Iterable[TrialView],
    objective: ObjectiveSpec,
    objectives: Iterable[ObjectiveSpec] = (),
    *,
    saved: bool = True,
    epoch: int | None = None,
) -> list[Winner]:
    """The best epoch of each trial that has one, best first; only checkpointed ones count, unless `saved` is False.

    Args:
        epoch: look at this one alone.
    """
    candidates = [
        found
        for trial in trials
        if (found := _best_of(view, trial, tuple(objectives) or (objective,), saved=saved, epoch=epoch)) is not None
    ]
    return sorted(candidates, key=lambda one: (-objective.sign * one.score, one.trial))


def _best_of(
    view: StudyView, trial: TrialView, objectives: tuple[ObjectiveSpec, ...], *, saved: bool, epoch: int | None
) -> Winner | None:
    metrics, objective = [each.metric for each in objectives], objectives[0]
    rows = [
        row
        for row in trial.epochs
        if (row["epoch"] in trial.checkpoints or not saved)
        and epoch in (None, row["epoch"])
        and all(row.get(metric) is not None for metric in metrics)
    ]
    if trial.state is TrialState.DIVERGED or not rows:
        return None
    row = max(rows, key=lambda row: (objective.sign * row[objective.metric], -row["epoch"]))
    best = row["epoch"]
    schedule: Schedule = schedule_of(view, trial.number, best)
    checkpoint = trial.checkpoints.get(best)
    return Winner(
        trial.number,
        best,
        row[objective.metric],
        checkpoint.path if checkpoint else "",
        trial.stints[trial.stint_of(best)].config,
        row.get("parameters"),
        row.get("objective_se"),
        tuple(schedule) if len(schedule) > 1 else (),
        tuple(row[metric] for metric in metrics),
    )
