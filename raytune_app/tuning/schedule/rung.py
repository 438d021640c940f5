"""One rung: the scores that trials had when they came to it, and who was promoted from it."""

from __future__ import annotations

import bisect
import math
from collections.abc import Container
from dataclasses import dataclass, field


@dataclass(slots=True)
class Rung:
    """Where trials pause to be compared.

    Attributes:
        epoch: after which it lies.
        scores: of all that reached it, promoted or ended since or not; larger is better.
        promoted: those that went on from it.
        waiting: those that are paused at it, their state safe.
    """

    epoch: int
    scores: dict[int, float] = field(default_factory=dict)
    promoted: set[int] = field(default_factory=set)
    waiting: set[int] = field(default_factory=set)
    _order: list[tuple[float, int]] = field(default_factory=list)
    """(-score, trial), ascending: kept sorted, since a rung is asked far more often than reached."""

    def reach(self, trial: int, score: float) -> None:
        """The trial comes to the rung, or comes again: its latest score counts."""
        if trial in self.scores and not math.isnan(self.scores[trial]):
            self._order.remove((-self.scores[trial], trial))
        self.scores[trial] = score
        if not math.isnan(score):
            bisect.insort(self._order, (-score, trial))

    def leaders(self, count: int) -> list[int]:
        """The best `count`, best first and equal ones by number; fewer if other scores are not numbers."""
        return [trial for _, trial in self._order[:count]]

    def ranked(self, among: Container[int]) -> list[int]:
        """The trials of `among` likewise."""
        return [trial for _, trial in self._order if trial in among]

    def promote(self, trial: int) -> None:
        self.waiting.discard(trial)
        self.promoted.add(trial)


def rung_epochs(grace: int, reduction: int, epochs: int) -> list[int]:
    """The epochs at which trials are judged: grace, grace * reduction, ... below `epochs`."""
    rungs = []
    rung = grace
    while rung < epochs:
        rungs.append(rung)
        rung *= reduction
    return rungs
