"""Asynchronous successive halving, stopping variant, without Ray or a clock.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, arXiv:1810.05934; in the stopping
form a trial that is not among the best 1/reduction of those seen at a rung ends there, others go on at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Rungs:
    """The scores seen at each rung.

    Args:
        grace: epochs before the first decision; the first rung.
        reduction: the best 1/reduction go on; the next rung lies `reduction` times as many epochs later.
        epochs: the last epoch, where trials end by themselves: no rung there.
    """

    grace: int
    reduction: int
    epochs: int
    scores: dict[int, dict[int, float]] = field(init=False)

    def __post_init__(self) -> None:
        self.scores = {rung: {} for rung in rung_epochs(self.grace, self.reduction, self.epochs)}

    def survives(self, trial: int, epoch: int, score: float) -> bool | None:
        """Whether the trial goes on after this report; None if no decision is due at this epoch.

        Larger scores are better; a score that is not a number never survives. With fewer than `reduction` scores at a
        rung only the best goes on.
        """
        rung = self.scores.get(epoch)
        if rung is None:
            return None
        rung[trial] = -math.inf if math.isnan(score) else score
        kept = max(1, len(rung) // self.reduction)
        cutoff = sorted(rung.values(), reverse=True)[kept - 1]
        return not math.isnan(score) and score >= cutoff


def rung_epochs(grace: int, reduction: int, epochs: int) -> list[int]:
    """The epochs at which trials are judged: grace, grace * reduction, ... below `epochs`."""
    rungs = []
    rung = grace
    while rung < epochs:
        rungs.append(rung)
        rung *= reduction
    return rungs
