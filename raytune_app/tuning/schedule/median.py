"""The median stopping rule: a trial ends when its best is worse than what half of the others had on average.

Source: Golovin et al., Google Vizier: A Service for Black-Box Optimization, KDD 2017, section 3.2.1.
"""

from __future__ import annotations

import math
import statistics

from raytune_app.tuning.schedule.base import GO_ON, Judgement, Schedule, Verdict


class Median(Schedule):
    """The scores of all trials, those that ended too.

    After each epoch from `grace` on, a trial is judged if at least `min_trials` others have reported that epoch. It
    ends if its best score so far is strictly worse than the median of the others' running means up to that epoch. A
    score that is not a number ends it at once, and counts as the worst there is in its running means.

    Args:
        grace: epochs before the first decision.
        min_trials: other trials that must have come as far.
    """

    def __init__(self, grace: int, min_trials: int) -> None:
        self._grace, self._min_trials = grace, min_trials
        self._scores: dict[int, dict[int, float]] = {}
        """By trial, then epoch."""
        self._means: dict[int, dict[int, float]] = {}
        """The mean of a trial's scores up to an epoch, by epoch, then trial."""

    def report(self, trial: int, epoch: int, score: float) -> Judgement:
        scores = self._scores.setdefault(trial, {})
        scores[epoch] = -math.inf if math.isnan(score) else score
        self._means.setdefault(epoch, {})[trial] = sum(scores.values()) / len(scores)
        if epoch < self._grace:
            return GO_ON
        if math.isnan(score):
            return Judgement(Verdict.STOP, rung=epoch)
        others = [mean for other, mean in self._means[epoch].items() if other != trial]
        if len(others) < self._min_trials:
            return GO_ON
        falls_behind = max(scores.values()) < statistics.median(others)
        return Judgement(Verdict.STOP if falls_behind else Verdict.CONTINUE, rung=epoch)
