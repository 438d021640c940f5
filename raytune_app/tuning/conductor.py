"""Decides what every slot does next and what becomes of every trial, and writes it down: pure, without Ray.

The adapters in `searcher.py`, `scheduler.py` and `callback.py` carry Ray's calls here and nothing else, so that every
decision can be tested by feeding reports by hand. The event log is the only memory: `recall` rebuilds all from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from raytune_app.spec.grammar import Experiment
from raytune_app.tuning.budget import Budget
from raytune_app.tuning.events import EventLog, finite
from raytune_app.tuning.fault import Fault
from raytune_app.tuning.keeper import Place, outdated, outranked
from raytune_app.tuning.planner import Plan, Planner
from raytune_app.tuning.schedule.base import Verdict
from raytune_app.tuning.search.base import Learnt
from raytune_app.tuning.stint import Stint
from raytune_app.tuning.view import Event, Role, StudyState, StudyView, TrialState, TrialView

Decision = tuple[TrialState | None, int | None]
"""The state in which the trial leaves its slot, None to go on; and the rung it was judged at."""

_NEEDS_STATE = (TrialState.FINISHED, TrialState.PAUSED)
"""A trial that leaves so has to have its last epoch saved."""
_RESTING = (TrialState.PAUSED, TrialState.INTERRUPTED)
_VERDICTS = {Verdict.PAUSE: TrialState.PAUSED, Verdict.STOP: TrialState.STOPPED}


class Conductor:
    """One study's decisions and its account of them.

    Args:
        experiment: with its domains.
        log: where events go.
        cpus, gpus: what one trial has: for the budget, and for a trial that runs out of GPU memory.
        clock: seconds, for the wall time budget.
        delete: called with the path of a checkpoint that may go.
        plan, learnt: see Planner.

    Attributes:
        fault: what went wrong while a report was written down; Ray would swallow it.
        stop_reason: why the whole study should end now; None while it should go on.
        stop_state: how the study is then.
        was_asked: whether it ends because somebody wants it to.
    """

    def __init__(
        self,
        experiment: Experiment,
        log: EventLog,
        *,
        cpus: int = 1,
        gpus: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        delete: Callable[[str], object] = str,
        plan: Plan = (),
        learnt: Learnt = (),
    ) -> None:
        self.experiment, self.log = experiment, log
        self.fault: Exception | None = None
        self.stop_reason: str | None = None
        self.stop_state, self.was_asked = StudyState.PAUSED, False
        self._unwanted: set[int] = set()
        self._planner = Planner(experiment, log, plan, learnt)
        self._budget = Budget(experiment.budget, experiment.objective, gpus or cpus)
        self._gpus, self._delete = gpus, delete
        self._clock, self._began_s, self._earlier_s = clock, clock(), 0.0
        self._decided: dict[Place, Decision] = {}
        self._leaving: dict[int, TrialState] = {}
        self._saving: set[int] = set()
        self._failed = 0

    @property
    def view(self) -> StudyView:
        """What has happened so far."""
        return self.log.view

    @property
    def over(self) -> bool:
        """Nothing is left to do, or the study should end now."""
        return self.stop_reason is not None or self._planner.over

    @property
    def may_stop(self) -> bool:
        """The study should end, and no checkpoint that was announced is still on its way: it may be the winner's."""
        return self.over and not self._saving

    @property
    def reason(self) -> str | None:
        """Why the study, or its search, ended before all was done."""
        return self.stop_reason or self._planner.search_reason

    def assign(self, gpus: float) -> None:
        """Each trial has this share of a GPU, as it turned out when one was measured."""
        self._gpus, self._budget.devices = gpus, gpus or self._budget.devices

    def fail(self, error: Exception) -> None:
        """End the study now, because of `error`."""
        self.fault = self.fault or error
        self.stop_reason = self.stop_reason or "an error"
        self._saving.clear()

    def stop(self, reason: str, state: StudyState) -> None:
        """Somebody wants the study to end now, in good order."""
        if self.stop_reason is None:
            self.stop_reason, self.stop_state, self.was_asked = reason, state, True

    def stop_trial(self, trial: int) -> None:
        """Somebody wants the trial to end with what it has: at its next report, or now if it does not train.

        Nothing happens to a trial that is over, or is none.
        """
        self._unwanted.add(trial)
        if trial in self.view.trials and self.view.trials[trial].state in _RESTING:
            self._end(trial, TrialState.STOPPED)

    def next(self) -> Stint | None:
        """What a free slot should do; None if nothing now, or, once `over`, ever."""
        return None if self.over else self._planner.next()

    def reported(self, trial: int, row: Mapping[str, Any], *, saves: bool = False) -> bool:
        """Take one epoch's report, write it down, and say whether the trial goes on.

        An epoch that was reported before, and then lost with its process, is decided as it was then.

        Args:
            row: the fields of EpochResult.
            saves: a checkpoint of this epoch will follow in `saved`.
        """
        view = self.view.trials[trial]
        if saves:
            self._saving.add(trial)
        place = trial, int(row["epoch"])
        if place not in self._decided:
            self._decided[place] = self._decide(view, finite(row))
        state, rung = self._decided[place]
        if state is None and row["finished"]:  # a user's own training that has nothing more to report says so late
            state = TrialState.FINISHED
            self._decided[place] = state, rung
        decision = state.value if state else None if rung is None else Verdict.CONTINUE.value
        self._write("epoch", trial=trial, **row, decision=decision, rung=rung)
        ends = self.stop_reason or (view.role is Role.SEARCH and self._planner.search_reason)
        return state is None and not ends

    def printed(self, trial: int, epoch: int, text: str) -> None:
        self._write("output", trial=trial, epoch=epoch, text=text)

    def saved(self, trial: int, epoch: int, path: str, mb: float = 0.0) -> None:
        """A checkpoint lies at `path`, relative to the study folder."""
        self._saving.discard(trial)
        self._write("checkpoint", trial=trial, epoch=epoch, path=path, mb=round(mb, 3))
        if not self._planner.copies:
            self._forget(outdated(self.view.trials[trial], self.experiment.objective))

    def ended(self, trial: int) -> None:
        """The trial has left its slot: as decided in `reported`, or because the study or the search ended."""
        self._saving.discard(trial)
        state = self._leaving.get(trial)
        if state in _NEEDS_STATE and not self.view.trials[trial].is_saved:
            state = None  # its last epoch is trained again
        if state is None:
            self._write("trial_interrupted", trial=trial, error=None, fault=False)
        elif state is TrialState.PAUSED:
            self._write("trial_paused", trial=trial, epoch=self.view.trials[trial].saved_epoch)
        else:
            self._end(trial, state)

    def failed(self, trial: int, fault: Fault, error: str, details: str = "") -> None:
        """The trial's process stopped working: it goes on from its checkpoint, or it has failed for good.

        Args:
            error: one line.
            details: a traceback, written down with the first trial that shows this error.
        """
        self._saving.discard(trial)
        if self._goes_on_after(self.view.trials[trial], fault):
            more = {"gpus": self._planner.gpus[trial]} if trial in self._planner.gpus else {}
            self._write("trial_interrupted", trial=trial, error=error, fault=fault is Fault.PROCESS, **more)
            return
        seen = any(each.error == error for each in self.view.trials.values())
        self._end(trial, TrialState.FAILED, error, {} if seen or not details else {"details": details})
        self._failed += 1
        if self._failed >= self.experiment.failures.max_failed_trials:
            self.stop_reason = self.stop_reason or f"failures: {self._failed} trials failed"

    def recall(self, events: Iterable[Event]) -> None:
        """Rebuild every decision from a log's own events, in order; then write down what was cut off with them."""
        last: str | None = None
        gone: str | None = None
        for event in events:
            gone = self._deleted_by(event)
            if event["event"] != "study_resumed" and last is not None:
                self._earlier_s += _seconds(last, event["time"])
            last = event["time"]
            self.log.view.apply(event)
            self._follow(event)
        if gone is not None:  # the last line may have been written without the deed
            self._delete(gone)
        for trial in [each for each in self.view.trials.values() if each.state is TrialState.RUNNING]:
            self.ended(trial.number)

    def readmit(self) -> None:
        """Failed trials may go on: whoever resumes a study that paused because of them has mended the cause."""
        for trial in [each for each in self.view.trials.values() if each.state is TrialState.FAILED]:
            self._write("trial_interrupted", trial=trial.number, error=trial.error, fault=False, readmitted=True)

    def settle(self) -> None:
        """The study is over: what was kept because trials were alive, or could be copied, goes."""
        for trial in list(self.view.trials.values()):
            self._forget(outdated(trial, self.experiment.objective))
        self._forget(outranked(self.view, self.experiment))

    def _write(self, event: str, **fields: Any) -> None:
        written = self.log.append(event, **fields)
        self._follow(written)

    def _follow(self, event: Event) -> None:
        """Keep up with an event that the view holds already, of this process or of an earlier one."""
        match event["event"]:
            case "epoch":
                self._follow_epoch(event)
            case "command" if event["order"] == "stop_trial":
                self._unwanted.add(event["trial"])
            case "trial_resumed" | "trial_interrupted":
                self._leaving.pop(event["trial"], None)
            case "trial_paused" | "trial_ended":
                self._leaving.pop(event["trial"], None)
                self._follow_end(self.view.trials[event["trial"]])
        self._planner.follow(event)

    def _follow_epoch(self, event: Event) -> None:
        trial = self.view.trials[event["trial"]]
        place = trial.number, event["epoch"]
        if place not in self._decided:  # by an earlier process: the schedule hears of it, the log has the last word
            self._decide(trial, event)
            said = event["decision"]
            ends = said is not None and said != Verdict.CONTINUE
            self._decided[place] = (TrialState(said) if ends else None), event["rung"]
        if state := self._decided[place][0]:
            self._leaving[trial.number] = state
        if trial.role is Role.SEARCH:
            self._budget.reported(event)
            self._look_at_budget()

    def _follow_end(self, trial: TrialView) -> None:
        if trial.role is Role.SEARCH:
            objective = self.experiment.objective
            best = trial.best(objective.metric, objective.sign)
            self._budget.ended(trial.number, best[objective.metric] if best else None)
            self._look_at_budget()

    def _decide(self, trial: TrialView, row: Mapping[str, Any]) -> Decision:
        if row["diverged"]:
            return TrialState.DIVERGED, None
        judgement = self._planner.judge(trial, row)
        state = TrialState.STOPPED if trial.number in self._unwanted else _VERDICTS.get(judgement.verdict)
        return TrialState.FINISHED if row["finished"] else state, judgement.rung

    def _end(self, trial: int, state: TrialState, error: str | None = None, more: Mapping[str, Any] = {}) -> None:
        self._write("trial_ended", trial=trial, state=state.value, error=error, **more)
        if not self._planner.copies:
            outdone = outranked(self.view, self.experiment)
            self._forget([*outdated(self.view.trials[trial], self.experiment.objective), *outdone])

    def _goes_on_after(self, trial: TrialView, fault: Fault) -> bool:
        if fault is Fault.PROCESS:
            return trial.faults < self.experiment.failures.trial_retries
        share = self._planner.gpus.get(trial.number, self._gpus)
        if fault is Fault.GPU_MEMORY and 0 < share < 1:
            self._planner.gpus[trial.number] = min(1.0, 2 * share)
            return True
        return fault is Fault.NODE

    def _look_at_budget(self) -> None:
        wall_s = self._earlier_s + self._clock() - self._began_s
        self._planner.search_reason = self._planner.search_reason or self._budget.spent(wall_s)

    def _deleted_by(self, event: Event) -> str | None:
        """The path of the checkpoint that this event, not yet applied, says is deleted."""
        if event["event"] != "checkpoint_deleted":
            return None
        saved = self.view.trials[event["trial"]].checkpoints.get(event["epoch"])
        return saved.path if saved else None

    def _forget(self, places: Iterable[Place]) -> None:
        """First the log, then the files: it never names what is not there."""
        for trial, epoch in list(places):
            saved = self.view.trials[trial].checkpoints.get(epoch)
            if saved is not None:
                self._write("checkpoint_deleted", trial=trial, epoch=epoch)
                self._delete(saved.path)


def _seconds(start: str, end: str) -> float:
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
