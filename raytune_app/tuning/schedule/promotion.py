"""Asynchronous successive halving as in its paper: a trial pauses at each rung and goes on only when it is promoted.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, arXiv:1810.05934, algorithm 2.
"""

from __future__ import annotations

import math

from raytune_app.tuning.schedule.base import GO_ON, Judgement, Resumption, Schedule, Verdict
from raytune_app.tuning.schedule.rung import Rung, rung_epochs


class AshaPromotion(Schedule):
    """The rungs, and who was promoted from them.

    Of the n trials that ever reached a rung the best floor(n / reduction) may go on; a free slot takes the best of them
    that has not gone on yet, from the highest rung that has one, and a new trial where no rung has. A trial that failed
    is never promoted, but keeps its place among the n.

    Beyond the paper: few trials may fill no place at all. When no new trial may come, nobody trains, nobody is
    promotable and nobody has come past the last rung, the best one that waits at the highest rung is promoted all the
    same, so that a study ends with at least one trial that was trained to its end.

    Args:
        grace: the first rung, in epochs.
        reduction: the best 1/reduction go on; the next rung lies `reduction` times as many epochs later.
        epochs: the last epoch, where trials end by themselves: no rung there.
    """

    def __init__(self, grace: int, reduction: int, epochs: int) -> None:
        self._reduction = reduction
        self._rungs = {epoch: Rung(epoch) for epoch in rung_epochs(grace, reduction, epochs)}
        self._place: dict[int, Rung] = {}
        """The rung that each trial reached last."""
        self._training: set[int] = set()
        self._is_past = False
        """Whether a trial has come past the last rung, in good health."""

    def started(self, trial: int, values: object) -> None:
        self._training.add(trial)

    def report(self, trial: int, epoch: int, score: float) -> Judgement:
        """Every trial pauses at a rung, except one that was promoted from it before and trains it once more."""
        self._is_past |= epoch > max(self._rungs, default=0) and not math.isnan(score)
        rung = self._rungs.get(epoch)
        if rung is None:
            return GO_ON
        if trial in rung.promoted:
            return Judgement(rung=epoch)
        rung.reach(trial, score)
        self._place[trial] = rung
        return Judgement(Verdict.PAUSE, rung=epoch)

    def paused(self, trial: int) -> None:
        self._training.discard(trial)
        self._place[trial].waiting.add(trial)

    def resumptions(self, *, more: bool) -> list[Resumption]:
        """All that are promotable: the highest rung first, the best first within a rung."""
        due = [trial for rung in self._from_the_top() for trial in self._promotable(rung)]
        if not due and not more and not self._training and not self._is_past:
            due = self._best_left()
        return [Resumption(trial, trial, "promoted") for trial in due]

    def resumed(self, resumption: Resumption) -> None:
        self._training.add(resumption.trial)
        self._place[resumption.trial].promote(resumption.trial)

    def ended(self, trial: int) -> None:
        self._training.discard(trial)
        if trial in self._place:
            self._place[trial].waiting.discard(trial)

    def _from_the_top(self) -> list[Rung]:
        return list(reversed(self._rungs.values()))

    def _promotable(self, rung: Rung) -> list[int]:
        return [trial for trial in rung.leaders(len(rung.scores) // self._reduction) if trial in rung.waiting]

    def _best_left(self) -> list[int]:
        """One trial at most."""
        return next((ranked[:1] for rung in self._from_the_top() if (ranked := rung.ranked(rung.waiting))), [])
