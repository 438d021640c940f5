"""Whether the process that runs a study still lives: by itself on this machine, by its beat from anywhere."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from raytune_app.errors import NotFoundError
from raytune_app.tuning.folder import StudyFolder, is_worked_on
from raytune_app.tuning.view import StudyState

STALE_S = 30.0
"""A driver that has not written for so long is lost."""
GUARDIAN_STALE_S = 60.0
"""The same of a job that waits for its turn."""
GONE_S = 6.0
"""The same where this machine has no such process: another container may bear this machine's name."""

Status = Mapping[str, Any]
"""The content of status.json."""


def read_status(folder: StudyFolder) -> Status | None:
    """What the driver wrote last; None before its first beat. Raises StorageError."""
    try:
        content: Status = folder.storage.read_json(folder.paths.status)
    except NotFoundError:
        return None
    return content


def silence_s(record: Mapping[str, Any], status: Status | None, now: datetime | None = None) -> float | None:
    """Seconds since the last beat of the driver that study.json names, or since it began if it has not written yet.

    None if not even that is known.
    """
    written = status is not None and _process(status) == _process(record)
    heard = status["time"] if status is not None and written else record.get("began")
    return None if heard is None else _age_s(heard, now)


def is_lost(record: Mapping[str, Any], status: Status | None, now: datetime | None = None) -> bool:
    """True for a study that should be running and whose driver is gone.

    Args:
        record: the content of study.json.
        now: this machine's time, in UTC.
    """
    if record["state"] == StudyState.QUEUED and status is not None and record.get("job"):
        return _age_s(status["time"], now) > GUARDIAN_STALE_S
    if record["state"] != StudyState.RUNNING:
        return False
    silent = silence_s(record, status, now)
    if (record.get("driver") or {}).get("host") == platform.node():
        return not is_worked_on(record) and (silent is None or silent > GONE_S)
    return silent is not None and silent > STALE_S


def _process(content: Mapping[str, Any]) -> tuple[Any, ...]:
    driver = content.get("driver") or {}
    return driver.get("host"), driver.get("pid"), driver.get("started")


def _age_s(time: str, now: datetime | None) -> float:
    return ((now or datetime.now(UTC)) - datetime.fromisoformat(time)).total_seconds()
