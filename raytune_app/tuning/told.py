"""What a searcher is told of a trial, from the study's view."""

from __future__ import annotations

from raytune_app.spec import Experiment
from raytune_app.tuning.search.base import Ending, Told
from raytune_app.tuning.view import TrialState, TrialView

_ENDINGS = {
    TrialState.FINISHED: Ending.WHOLE,
    TrialState.STOPPED: Ending.CUT,
    TrialState.PAUSED: Ending.CUT,
    TrialState.DIVERGED: Ending.LOST,
}


def told_of(trial: TrialView, experiment: Experiment) -> Told:
    """Its scores and its curve, larger is better, and how it ended."""
    objective = experiment.objective
    curve = {row["epoch"]: row.get(objective.metric) for row in trial.epochs}
    return Told(
        scores=_scores(trial, experiment),
        curve={epoch: None if value is None else objective.sign * value for epoch, value in curve.items()},
        ending=_ENDINGS.get(trial.state, Ending.UNKNOWN),
    )


def _scores(trial: TrialView, experiment: Experiment) -> list[float]:
    """Each objective's score at the best epoch by the first one; empty if there is none."""
    objectives = experiment.objectives
    rows = [row for row in trial.epochs if all(row.get(each.metric) is not None for each in objectives)]
    first = objectives[0]
    best = max(rows, key=lambda row: first.sign * row[first.metric], default=None)
    return [] if best is None else [each.sign * best[each.metric] for each in objectives]
