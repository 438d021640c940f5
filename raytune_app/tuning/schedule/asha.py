"""Asynchronous successive halving, stopping variant.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, arXiv:1810.05934; in the stopping
form a trial that is not among the best 1/reduction of those seen at a rung ends there, others go on at once.
"""

from __future__ import annotations

import math

from raytune_app.tuning.schedule.base import GO_ON, Judgement, Schedule, Verdict
from raytune_app.tuning.schedule.rung import rung_epochs


class Asha(Schedule):
    """The scores seen at each rung.

    Args:
        grace: epochs before the first decision; the first rung.
        reduction: the best 1/reduction go on; the next rung lies `reduction` times as many epochs later.
        epochs: the last epoch, where trials end by themselves: no rung there.
    """

    def __init__(self, grace: int, reduction: int, epochs: int) -> None:
        self._reduction = reduction
        self._scores: dict[int, dict[int, float]] = {rung: {} for rung in rung_epochs(grace, reduction, epochs)}

    def report(self, trial: int, epoch: int, score: float) -> Judgement:
        """With fewer than `reduction` scores at a rung only the best goes on."""
        rung = self._scores.get(epoch)
        if rung is None:
            return GO_ON
        rung[trial] = -math.inf if math.isnan(score) else score
        kept = max(1, len(rung) // self._reduction)
        cutoff = sorted(rung.values(), reverse=True)[kept - 1]
        survives = not math.isnan(score) and score >= cutoff
        return Judgement(Verdict.CONTINUE if survives else Verdict.STOP, rung=epoch)
