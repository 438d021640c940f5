"""The study's event log: append-only JSON lines, the one account of what happened.

    study_started       {study, trials, epochs}
    study_resumed       {trials, epochs, changes}
    trial_started       {trial, config, role, of}
    trial_resumed       {trial, epoch, source, source_epoch, config, reason}
    epoch               {trial, epoch, ...EpochResult, decision, rung}
    checkpoint          {trial, epoch, path, mb}       path relative to the study folder
    checkpoint_deleted  {trial, epoch}
    trial_paused        {trial, epoch}
    trial_interrupted   {trial, error, fault}          it may go on from its last checkpoint
    trial_ended         {trial, state, error}
    output              {trial, epoch, text}           what the trial's own code printed during the epoch
    command             {order, trial, by}             what somebody asked of the study
    study_ended         {state, reason}

Every line also carries `event` and `time` (ISO 8601, UTC). Numbers that are not finite are written as null. A last line
cut short by a crash is recognised and dropped.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.view import Event, StudyView

_log = logging.getLogger(__name__)

Observer = Callable[[Event], None]
TOGETHER = 1000
"""Lines parsed in one go: their events share their keys, which is twice as quick and takes a third of the memory."""


class EventLog:
    """Appends events to a study's `events.jsonl` and hands each to the observers (a table, TensorBoard).

    Attributes:
        view: what the log says so far.
    """

    def __init__(self, storage: Storage, paths: StudyPaths, observers: Iterable[Observer] = ()) -> None:
        self._write = storage.appender(paths.events)
        self._observers = list(observers)
        self.view = StudyView()
        self._closed: Exception | None = None

    def close(self, why: Exception) -> None:
        """Take nothing more: from now on `append` raises `why`."""
        self._closed = why

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event and return it as it was written. Raises StorageError, or why the log is closed."""
        if self._closed is not None:
            raise self._closed
        line: Event = {"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **finite(fields)}
        self._write(json.dumps(line, allow_nan=False))
        self.view.apply(line)
        for observe in list(self._observers):
            try:
                observe(line)
            except Exception:  # noqa: BLE001  # whoever watches must not end the study
                _log.warning("an observer of the study failed and is left out from now on", exc_info=True)
                self._observers.remove(observe)
        return line


def read_events(storage: Storage, paths: StudyPaths) -> list[Event]:
    """All whole lines of the log, oldest first. Raises NotFoundError if the study has none."""
    return parse_lines(storage.read(paths.events))


def parse_lines(content: bytes) -> list[Event]:
    """The events in these lines, without what a crash cut short."""
    lines = content.splitlines()
    return [event for first in range(0, len(lines), TOGETHER) for event in _parse(lines[first : first + TOGETHER])]


def _parse(lines: list[bytes]) -> list[Event]:
    try:
        events: list[Event] = json.loads(b"[%s]" % b",".join(lines))
    except ValueError:
        events = []
    return events if len(events) == len(lines) else [event for line in lines for event in _parse_line(line)]


def _parse_line(line: bytes) -> list[Event]:
    try:
        return [json.loads(line)]
    except ValueError:
        return []


def finite(value: Any) -> Any:
    """The value with every NaN and infinity replaced by None, as JSON wants it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
