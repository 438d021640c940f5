"""The study's event log: append-only JSON lines, the one account of what happened.

    study_started  {study, trials, epochs}
    trial_started  {trial, config, parameters}
    epoch          {trial, epoch, ...EpochResult, decision, rung}
    checkpoint     {trial, epoch, path}           path relative to the study folder
    trial_ended    {trial, state, error}
    study_ended    {state, reason}

Every line also carries `event` and `time` (ISO 8601, UTC). Numbers that are not finite are written as null. A last line
cut short by a crash is recognised and dropped.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from raytune_app.storage import Storage, StudyPaths

_log = logging.getLogger(__name__)

Event = dict[str, Any]
Observer = Callable[[Event], None]


class TrialState(StrEnum):
    """`stopped`: ended by the scheduler or with the study; `diverged`: its loss was lost; `failed`: an error."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"


class StudyState(StrEnum):
    """`finished`: all trials or the budget; `stopped`: interrupted; `failed`: an error, or no winner."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class EventLog:
    """Appends events to a study's `events.jsonl` and hands each to the observers (a table, TensorBoard).

    Attributes:
        view: what the log says so far.
    """

    def __init__(self, storage: Storage, paths: StudyPaths, observers: Iterable[Observer] = ()) -> None:
        self._storage = storage
        self._path = paths.events
        self._observers = list(observers)
        self.view = StudyView()

    def append(self, event: str, **fields: Any) -> None:
        """Write one event. Raises StorageError (a full disk, say)."""
        line: Event = {"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **finite(fields)}
        self._storage.append(self._path, json.dumps(line, allow_nan=False))
        self.view.apply(line)
        for observe in list(self._observers):
            try:
                observe(line)
            except Exception:  # noqa: BLE001  # whoever watches must not end the study
                _log.warning("an observer of the study failed and is left out from now on", exc_info=True)
                self._observers.remove(observe)


def read_events(storage: Storage, paths: StudyPaths) -> list[Event]:
    """All whole lines of the log, oldest first. Raises NotFoundError if the study has none."""
    events = []
    for line in storage.read_text(paths.events).splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def finite(value: Any) -> Any:
    """The value with every NaN and infinity replaced by None, as JSON wants it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


@dataclass
class TrialView:
    """What the log says of one trial."""

    number: int
    config: dict[str, Any]
    parameters: int | None
    state: TrialState = TrialState.RUNNING
    error: str | None = None
    epochs: list[Event] = field(default_factory=list)
    checkpoints: dict[int, str] = field(default_factory=dict)

    @property
    def last(self) -> Event | None:
        return self.epochs[-1] if self.epochs else None

    def best(self, metric: str, sign: int) -> Event | None:
        """The epoch with the best `metric` (sign +1: largest), the earliest of equals; None if none is finite."""
        rows = [row for row in self.epochs if row.get(metric) is not None]
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

    def progress(self) -> tuple[int, int]:
        """Epochs settled (trained, or saved by ending a trial early) and epochs in all."""
        settled = sum(
            len(trial.epochs) if trial.state is TrialState.RUNNING else self.epochs_per_trial
            for trial in self.trials.values()
        )
        return settled, self.planned_trials * self.epochs_per_trial

    def _on_study_started(self, event: Event) -> None:
        self.study, self.planned_trials, self.epochs_per_trial = (event["study"], event["trials"], event["epochs"])

    def _on_trial_started(self, event: Event) -> None:
        self.trials[event["trial"]] = TrialView(event["trial"], event["config"], event["parameters"])

    def _on_epoch(self, event: Event) -> None:
        self.trials[event["trial"]].epochs.append(event)

    def _on_checkpoint(self, event: Event) -> None:
        self.trials[event["trial"]].checkpoints[event["epoch"]] = event["path"]

    def _on_trial_ended(self, event: Event) -> None:
        trial = self.trials[event["trial"]]
        trial.state, trial.error = TrialState(event["state"]), event["error"]

    def _on_study_ended(self, event: Event) -> None:
        self.state, self.reason = StudyState(event["state"]), event["reason"]
