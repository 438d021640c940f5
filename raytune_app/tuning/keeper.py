"""Which checkpoints may go: pure, from the study's view.

A living trial keeps its best and its last epoch, an ended one its best; of the ended ones only the best `top_k` keep
any. While trials may copy one another nothing goes: a source deleted before its copy was read is a trial lost.
"""

from __future__ import annotations

from collections.abc import Iterator

from raytune_app.spec.grammar import Experiment, ObjectiveSpec
from raytune_app.tuning.view import Role, StudyView, TrialState, TrialView
from raytune_app.tuning.winner import rank

Place = tuple[int, int]
"""A trial and an epoch of it."""

_ALIVE = (TrialState.RUNNING, TrialState.PAUSED, TrialState.INTERRUPTED)


def outdated(trial: TrialView, objective: ObjectiveSpec) -> Iterator[Place]:
    """The checkpoints of this trial that are neither its best nor, while it lives, its last; a refit keeps all."""
    if trial.role is Role.REFIT:
        return
    saved = [row for row in trial.epochs if row["epoch"] in trial.checkpoints and row.get(objective.metric) is not None]
    best = max(saved, key=lambda row: (objective.sign * row[objective.metric], -row["epoch"]), default=None)
    kept = {best["epoch"] if best else None, trial.saved_epoch if trial.state in _ALIVE else None}
    yield from ((trial.number, epoch) for epoch in list(trial.checkpoints) if epoch not in kept)


def outranked(view: StudyView, experiment: Experiment) -> list[Place]:
    """All checkpoints of ended trials of the search that are not among the best `top_k`, or beyond the disk budget.

    With two objectives every trial may be in the Pareto set, so nothing goes.
    """
    if len(experiment.objectives) > 1:
        return []
    ended = [trial for trial in view.of_role(Role.SEARCH) if trial.state not in _ALIVE and trial.checkpoints]
    ranked = [winner.trial for winner in rank(view, ended, experiment.objective)]
    losing = [trial.number for trial in ended if trial.number not in ranked]
    losing += ranked[experiment.keep.top_k :]
    losing += _beyond_disk(view, experiment.keep.disk_mb, ranked[1 : experiment.keep.top_k], losing)
    return [(number, epoch) for number in losing for epoch in view.trials[number].checkpoints]


def total_mb(view: StudyView) -> float:
    """The size of all checkpoints that still lie there."""
    return sum(_mb(trial) for trial in view.trials.values())


def _beyond_disk(view: StudyView, limit_mb: float | None, candidates: list[int], gone: list[int]) -> list[int]:
    """The worst of the candidates, as many as must go; the best trial of all is none of them."""
    if limit_mb is None:
        return []
    left_mb = total_mb(view) - sum(_mb(view.trials[number]) for number in gone)
    going = []
    for number in reversed(candidates):
        if left_mb <= limit_mb:
            break
        going.append(number)
        left_mb -= _mb(view.trials[number])
    return going


def _mb(trial: TrialView) -> float:
    return sum(saved.mb for saved in trial.checkpoints.values())
