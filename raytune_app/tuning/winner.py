"""Which trial won: the best checkpointed epoch by the declared metric, and what the sealed test part says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.tuning.events import StudyView, TrialState


@dataclass(frozen=True, slots=True)
class Winner:
    """A trial's best checkpointed epoch: score and checkpoint always belong together."""

    trial: int
    epoch: int
    score: float
    checkpoint: str
    config: dict[str, Any]
    parameters: int | None


def choose(view: StudyView, objective: ObjectiveSpec) -> Winner | None:
    """The winner, or None if no trial has a checkpoint with a finite score.

    Only epochs with a checkpoint count. A trial that diverged or failed later may still win with an earlier epoch's
    checkpoint... unless it diverged: then its training is not to be trusted. Of equals the earliest trial wins.
    """
    candidates = [
        Winner(
            trial.number,
            row["epoch"],
            row[objective.metric],
            trial.checkpoints[row["epoch"]],
            trial.config,
            trial.parameters,
        )
        for trial in view.trials.values()
        if trial.state is not TrialState.DIVERGED
        for row in trial.epochs
        if row["epoch"] in trial.checkpoints and row[objective.metric] is not None
    ]
    return max(candidates, key=lambda one: (objective.sign * one.score, -one.trial, -one.epoch), default=None)
