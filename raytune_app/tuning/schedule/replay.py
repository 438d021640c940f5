"""Trains a trial again as a population trained it: its values change where they changed then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raytune_app.tuning.schedule.base import GO_ON, Judgement, Resumption, Schedule, Verdict


class Replay(Schedule):
    """Pauses a trial at each epoch of a plan and lets it go on from its own state with other values.

    Args:
        plan: (epoch, values that hold from then on by dotted path), ascending.
    """

    def __init__(self, plan: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        self._plan = dict(plan)
        assert list(self._plan) == sorted(self._plan) and len(self._plan) == len(plan), plan
        self._place: dict[int, int] = {}
        """The epoch of the plan that each trial reached last."""
        self._passed: dict[int, int] = {}
        """The epoch of the plan that each trial went on from last."""
        self._waiting: set[int] = set()

    def report(self, trial: int, epoch: int, score: float) -> Judgement:
        if epoch not in self._plan or epoch <= self._passed.get(trial, 0):
            return GO_ON
        self._place[trial] = epoch
        return Judgement(Verdict.PAUSE, rung=epoch)

    def paused(self, trial: int) -> None:
        self._waiting.add(trial)

    def resumptions(self, *, more: bool) -> list[Resumption]:
        return [
            Resumption(trial, trial, "replayed", dict(self._plan[self._place[trial]]))
            for trial in sorted(self._waiting)
        ]

    def resumed(self, resumption: Resumption) -> None:
        self._waiting.discard(resumption.trial)
        self._passed[resumption.trial] = self._place[resumption.trial]

    def ended(self, trial: int) -> None:
        self._waiting.discard(trial)
