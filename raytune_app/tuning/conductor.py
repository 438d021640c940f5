"""Decides after every report whether a trial goes on, and writes down what happened: pure, without Ray.

The adapters in `scheduler.py` and `callback.py` carry Ray's calls here and nothing else, so that every decision can be
tested by feeding reports by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raytune_app.spec.grammar import AshaSpec, BudgetSpec, Experiment
from raytune_app.tuning.asha import Rungs
from raytune_app.tuning.events import EventLog, TrialState


@dataclass
class Conductor:
    """One study's decisions and its account of them.

    Args:
        experiment: with its domains; the objective, the scheduler and the budget are read from it.
        log: where events go.
        clock: seconds, for the wall time budget.
    """

    experiment: Experiment
    log: EventLog
    clock: Callable[[], float] = time.monotonic
    fault: Exception | None = None
    """What went wrong while a report was written down; Ray would swallow it."""
    stop_reason: str | None = None
    """Why the whole study should end now; None while it should go on."""
    _rungs: Rungs | None = field(init=False)
    _ending: dict[int, TrialState] = field(default_factory=dict, init=False)
    _epochs: int = field(default=0, init=False)
    _saving: set[int] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()
        scheduler = self.experiment.scheduler
        asha = isinstance(scheduler, AshaSpec)
        self._rungs = Rungs(scheduler.grace, scheduler.reduction, self.experiment.train.epochs) if asha else None  # type: ignore[union-attr]  # narrowed by `asha`

    def started(self, trial: int, config: Mapping[str, Any], parameters: int | None) -> None:
        self.log.append("trial_started", trial=trial, config=dict(config), parameters=parameters)

    def fail(self, error: Exception) -> None:
        """End the study now, because of `error`."""
        self.fault = self.fault or error
        self.stop_reason = self.stop_reason or "an error"
        self._saving.clear()

    @property
    def may_stop(self) -> bool:
        """The study should end, and no checkpoint that was announced is still on its way: it may be the winner's."""
        return self.stop_reason is not None and not self._saving

    def reported(self, trial: int, row: Mapping[str, Any], *, saves: bool = False) -> bool:
        """Take one epoch's report, write it down, and say whether the trial goes on.

        Args:
            row: the fields of EpochResult.
            saves: a checkpoint of this epoch will follow in `saved`.
        """
        self._epochs += 1
        if saves:
            self._saving.add(trial)
        survives = None if row["diverged"] else self._judge(trial, row)
        state = self._state_after(row, survives=survives)
        decision = None if survives is None and state is None else "continue" if state is None else state.value
        self.log.append(
            "epoch", trial=trial, **row, decision=decision, rung=row["epoch"] if survives is not None else None
        )
        if state is not None:
            self._ending[trial] = state
        self.stop_reason = self.stop_reason or self._spent(self.experiment.budget, row)
        return state is None and self.stop_reason is None

    def saved(self, trial: int, epoch: int, path: str) -> None:
        """A checkpoint lies at `path`, relative to the study folder."""
        self._saving.discard(trial)
        self.log.append("checkpoint", trial=trial, epoch=epoch, path=path)

    def ended(self, trial: int, error: str | None = None) -> None:
        """The trial is over: as decided in `reported`, by `error`, or because the study ended."""
        self._saving.discard(trial)
        state = TrialState.FAILED if error else self._ending.get(trial, TrialState.STOPPED)
        self.log.append("trial_ended", trial=trial, state=state.value, error=error)

    def _judge(self, trial: int, row: Mapping[str, Any]) -> bool | None:
        if self._rungs is None:
            return None
        objective = self.experiment.objective
        return self._rungs.survives(trial, row["epoch"], objective.sign * row[objective.metric])

    def _state_after(self, row: Mapping[str, Any], *, survives: bool | None) -> TrialState | None:
        if row["diverged"]:
            return TrialState.DIVERGED
        if row["finished"]:
            return TrialState.FINISHED
        return TrialState.STOPPED if survives is False else None

    def _spent(self, budget: BudgetSpec, row: Mapping[str, Any]) -> str | None:
        objective = self.experiment.objective
        if budget.epochs is not None and self._epochs >= budget.epochs:
            return f"budget: {budget.epochs} epochs"
        if budget.wall_time_s is not None and self.clock() - self._started >= budget.wall_time_s:
            return f"budget: {budget.wall_time_s:g} s"
        value = objective.sign * row[objective.metric]
        if budget.target is not None and not row["diverged"] and value >= objective.sign * budget.target:
            return f"target: {objective.metric} {budget.target:g}"
        return None
