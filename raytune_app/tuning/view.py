"""What an event log says of a study and its trials: a fold over the events, which `tuning.events` lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Event = dict[str, Any]


class TrialState(StrEnum):
    """How a trial is.

    `paused`: by the scheduler; `interrupted`: with its study or its process, and may go on; `stopped`: by the
    scheduler, for good; `diverged`: its loss was lost; `failed`: an error.
    """

    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"


class StudyState(StrEnum):
    """How a study is; all but queued and running ones can be resumed.

    `queued`: submitted, waits for its turn; `finished`: all trials or the budget; `stopped`: interrupted, or someone
    asked; `paused`: someone asked, or too many trials failed; `failed`: an error, or no winner.
    """

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"


AT_WORK = (StudyState.QUEUED, StudyState.RUNNING)
"""Somebody works on such a study, or will."""


class Role(StrEnum):
    """What a trial is for."""

    SEARCH = "search"
    CONFIRM = "confirm"
    """Trains a configuration of the search again, with a fresh seed."""
    BASELINE = "baseline"
    """Trains the defaults' configuration, to compare the winner with."""
    REFIT = "refit"
    """Trains the winner of a cross-validation on the whole training part."""


@dataclass(frozen=True, slots=True)
class StintView:
    """A stretch of epochs that a trial trained without a break.

    Attributes:
        epoch: after which it began.
        source: the trial whose state it began from; None for a fresh start.
        source_epoch: after which epoch of the source.
        config: the values from here on.
        reason: why it went on; `started` for the first.
    """

    epoch: int
    source: int | None
    source_epoch: int
    config: dict[str, Any]
    reason: str


@dataclass(frozen=True, slots=True)
class CheckpointView:
    """A saved state: its folder relative to the study's, and its size."""

    path: str
    mb: float = 0.0


@dataclass
class TrialView:
    """What the log says of one trial."""

    number: int
    config: dict[str, Any]
    state: TrialState = TrialState.RUNNING
    error: str | None = None
    role: Role = Role.SEARCH
    of: int | None = None
    """For a confirming trial: whose configuration it trains again."""
    epochs: list[Event] = field(default_factory=list)
    checkpoints: dict[int, CheckpointView] = field(default_factory=dict)
    stints: list[StintView] = field(default_factory=list)
    faults: int = 0
    """How often its process died by its own doing."""
    seconds: float = 0.0
    """What its epochs took, those too that were lost and trained again."""

    @property
    def last(self) -> Event | None:
        return self.epochs[-1] if self.epochs else None

    @property
    def parameters(self) -> int | None:
        """How many numbers its training adjusts; None before the first epoch."""
        return self.epochs[0].get("parameters") if self.epochs else None

    @property
    def saved_epoch(self) -> int:
        """The newest epoch with a checkpoint; 0 if there is none."""
        return max(self.checkpoints, default=0)

    @property
    def is_saved(self) -> bool:
        """Whether its last epoch has a checkpoint."""
        return self.last is not None and self.saved_epoch >= self.last["epoch"]

    def stint_of(self, epoch: int) -> int:
        """The index of the stint in which `epoch` was trained, as far as it still counts."""
        return max(index for index, stint in enumerate(self.stints) if stint.epoch < epoch)

    def best(self, metric: str, sign: int, *others: str) -> Event | None:
        """The epoch with the best `metric` (sign +1: largest), the earliest of equals; None if none is finite.

        Args:
            others: metrics that have to be finite too.
        """
        rows = [row for row in self.epochs if row.get(metric) is not None]
        if others:
            rows = [row for row in rows if all(row.get(name) is not None for name in others)]
        return max(rows, key=lambda row: (sign * row[metric], -row["epoch"]), default=None)


@dataclass
class StudyView:
    """What the log says of a study; `apply` takes one event more."""

    study: str = ""
    planned_trials: int = 0
    epochs_per_trial: int = 0
    trials: dict[int, TrialView] = field(default_factory=dict)
    state: StudyState = StudyState.RUNNING
    reason: str | None = None

    @classmethod
    def of(cls, events: Iterable[Event]) -> StudyView:
        view = cls()
        for event in events:
            view.apply(event)
        return view

    def apply(self, event: Event) -> None:
        """Fold one event in; kinds from a newer version are passed over."""
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler:
            handler(event)

    def of_role(self, role: Role) -> list[TrialView]:
        """The trials of this role, in the order of their numbers."""
        return [trial for _, trial in sorted(self.trials.items()) if trial.role is role]

    def progress(self) -> tuple[int, int]:
        """Epochs settled (trained, or saved by ending a trial early) and epochs in all."""
        settled = sum(
            len(trial.epochs) if self._may_go_on(trial) else self.epochs_per_trial for trial in self.trials.values()
        )
        return settled, max(self.planned_trials, len(self.trials)) * self.epochs_per_trial

    def _may_go_on(self, trial: TrialView) -> bool:
        is_over = self.state is not StudyState.RUNNING and trial.state is TrialState.PAUSED
        return trial.state in _UNSETTLED and not is_over

    def _on_study_started(self, event: Event) -> None:
        self.study, self.planned_trials, self.epochs_per_trial = (event["study"], event["trials"], event["epochs"])

    def _on_study_resumed(self, event: Event) -> None:
        self.planned_trials, self.epochs_per_trial = event["trials"], event["epochs"]
        self.state, self.reason = StudyState.RUNNING, None

    def _on_trial_started(self, event: Event) -> None:
        number, config = event["trial"], event["config"]
        role = Role(event.get("role", Role.SEARCH))
        self.trials[number] = trial = TrialView(number, config, role=role, of=event.get("of"))
        trial.stints.append(StintView(0, None, 0, config, "started"))

    def _on_trial_resumed(self, event: Event) -> None:
        """Epochs that were reported and not saved are trained again."""
        trial = self.trials[event["trial"]]
        trial.state, trial.error, trial.config = TrialState.RUNNING, None, event["config"]
        trial.epochs = [row for row in trial.epochs if row["epoch"] <= event["epoch"]]
        source, source_epoch = event["source"], event["source_epoch"]
        trial.stints.append(StintView(event["epoch"], source, source_epoch, event["config"], event["reason"]))

    def _on_epoch(self, event: Event) -> None:
        trial = self.trials[event["trial"]]
        if trial.epochs and trial.epochs[-1]["epoch"] >= event["epoch"]:
            trial.epochs = [row for row in trial.epochs if row["epoch"] < event["epoch"]]
        trial.epochs.append(event)
        trial.seconds += event.get("epoch_s") or 0.0

    def _on_checkpoint(self, event: Event) -> None:
        saved = CheckpointView(event["path"], event.get("mb", 0.0))
        self.trials[event["trial"]].checkpoints[event["epoch"]] = saved

    def _on_checkpoint_deleted(self, event: Event) -> None:
        self.trials[event["trial"]].checkpoints.pop(event["epoch"], None)

    def _on_trial_paused(self, event: Event) -> None:
        self.trials[event["trial"]].state = TrialState.PAUSED

    def _on_trial_interrupted(self, event: Event) -> None:
        trial = self.trials[event["trial"]]
        trial.state, trial.error = TrialState.INTERRUPTED, event["error"]
        trial.faults += bool(event["fault"])

    def _on_trial_ended(self, event: Event) -> None:
        trial = self.trials[event["trial"]]
        trial.state, trial.error = TrialState(event["state"]), event["error"]

    def _on_study_ended(self, event: Event) -> None:
        self.state, self.reason = StudyState(event["state"]), event["reason"]


_UNSETTLED = (TrialState.RUNNING, TrialState.PAUSED, TrialState.INTERRUPTED)
