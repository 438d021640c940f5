"""Hyperband: brackets of successive halving, from many trials that start with few epochs to few that get them all.

Source: Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, JMLR 2018, arXiv:1603.06560.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from raytune_app.tuning.schedule.base import GO_ON, Judgement, Resumption, Schedule, Verdict
from raytune_app.tuning.schedule.rung import Rung, rung_epochs


class Hyperband(Schedule):
    """Brackets s = s_max ... 0, filled one after the other in the order in which trials start.

    With rungs at grace, grace * reduction, ... below `epochs`, s_max is their number; bracket s pauses at the last s
    of them, bracket 0 nowhere. `bracket_sizes` says how large the brackets are. Of the n that come to a rung the best
    floor(n / reduction) go on, at least one; each as soon as those who have not come yet cannot take its place. A
    bracket that stays incomplete because no more trials come is judged with those it has.

    Args:
        grace: the first rung, in epochs.
        reduction: the best 1/reduction of a rung go on.
        epochs: the last epoch, where trials end by themselves: no rung there.
        trials: of the whole study; should more start, the brackets begin anew.
        brackets: only the first so many; 1 is successive halving (Jamieson and Talwalkar, AISTATS 2016).
    """

    def __init__(self, grace: int, reduction: int, epochs: int, trials: int, brackets: int | None = None) -> None:
        self._rungs = rung_epochs(grace, reduction, epochs)
        self._reduction = reduction
        self._sizes = bracket_sizes(len(self._rungs), reduction, trials, brackets)
        self._brackets: list[_Bracket] = []
        self._bracket_of: dict[int, _Bracket] = {}

    def started(self, trial: int, values: Mapping[str, Any]) -> None:
        while not self._brackets or self._brackets[-1].is_full:
            self._brackets.append(self._new_bracket(len(self._brackets)))
        self._brackets[-1].living.add(trial)
        self._brackets[-1].members.add(trial)
        self._bracket_of[trial] = self._brackets[-1]

    def report(self, trial: int, epoch: int, score: float) -> Judgement:
        """Every trial pauses at its bracket's rungs, except one that was promoted before and trains it once more."""
        rung = self._bracket_of[trial].rungs.get(epoch)
        if rung is None:
            return GO_ON
        if trial in rung.promoted:
            return Judgement(rung=epoch)
        rung.reach(trial, score)
        return Judgement(Verdict.PAUSE, rung=epoch)

    def paused(self, trial: int) -> None:
        self._bracket_of[trial].place(trial).waiting.add(trial)

    def resumptions(self, *, more: bool) -> list[Resumption]:
        """Those who are closest to the last epoch first, the best first within a rung."""
        due = [found for bracket in self._brackets for found in bracket.due(self._reduction, more=more)]
        due.sort(key=lambda found: -found[0])
        return [Resumption(trial, trial, "promoted") for _, trial in due]

    def resumed(self, resumption: Resumption) -> None:
        self._bracket_of[resumption.trial].place(resumption.trial).promote(resumption.trial)

    def readmitted(self, trial: int, values: Mapping[str, Any]) -> None:
        self._bracket_of[trial].living.add(trial)

    def ended(self, trial: int) -> None:
        self._bracket_of[trial].living.discard(trial)

    def _new_bracket(self, index: int) -> _Bracket:
        place = index % len(self._sizes)
        skipped = place % (len(self._rungs) + 1)
        return _Bracket(self._sizes[place], self._rungs[skipped:])


class _Bracket:
    """A successive halving of `size` trials; `rungs` by epoch, in this order."""

    def __init__(self, size: int, epochs: list[int]) -> None:
        self._size = size
        self.rungs = {epoch: Rung(epoch) for epoch in epochs}
        self.members: set[int] = set()
        self.living: set[int] = set()

    @property
    def is_full(self) -> bool:
        return len(self.members) >= self._size

    def place(self, trial: int) -> Rung:
        """The rung that the trial reached last."""
        return next(rung for rung in reversed(self.rungs.values()) if trial in rung.scores)

    def due(self, reduction: int, *, more: bool) -> list[tuple[int, int]]:
        """Who may go on, as (epoch of the rung, trial).

        Those whose place is certain, however well the trials do that may still come to their rung.
        """
        field, missing = self.members, self._size - len(self.members) if more and not self.is_full else 0
        found: list[tuple[int, int]] = []
        for rung in self.rungs.values():
            away = (field & self.living) - rung.waiting - rung.promoted  # not here, or their state not safe yet
            comers = len(rung.scores) + len(away - rung.scores.keys()) + missing
            places = max(0, max(1, comers // reduction) - len(rung.promoted))
            rivals = len(away) + missing
            candidates = rung.ranked(rung.waiting & self.living)
            found += [(rung.epoch, trial) for trial in candidates[: max(0, places - rivals)]]
            field, missing = rung.promoted, min(places, rivals + len(candidates))
        return found


def bracket_sizes(s_max: int, reduction: int, trials: int, brackets: int | None = None) -> list[int]:
    """How many trials each bracket gets, s = s_max ... 0, over and over, or once the first `brackets` of these.

    The sum is `trials`.

    In the paper bracket s holds ceil((s_max + 1) * reduction^s / (s + 1)) trials. As many whole rounds of brackets are
    run as the trials fill, one at least; then every size is scaled by the same factor so that all trials have a place,
    the largest remainders rounded up. A study that is much smaller than one round leaves its smallest brackets empty.
    """
    paper = [math.ceil((s_max + 1) * reduction**s / (s + 1)) for s in range(s_max, -1, -1)][:brackets]
    weights = paper * (1 if brackets else max(1, trials // sum(paper)))
    exact = [trials * weight / sum(weights) for weight in weights]
    sizes = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: (sizes[index] - exact[index], index))
    for index in by_remainder[: trials - sum(sizes)]:
        sizes[index] += 1
    return sizes
