"""Ends a study, or one trial of it, wherever it runs: by a command in its folder, which its driver hears."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from raytune_app.errors import DeadlineError, InputError
from raytune_app.process import user_name
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.liveness import is_lost, read_status
from raytune_app.tuning.mailbox import Command, Order, send
from raytune_app.tuning.view import AT_WORK, StudyState, TrialState

LOOK_S = 0.2
_OVER = (TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED, TrialState.FAILED)


def end_study(folder: StudyFolder, *, pause: bool, wait_s: float) -> tuple[str, str | None]:
    """Ask the study to end, wait until it has, and return its state and the reason.

    Raises:
        InputError: it does not run, or its driver is lost.
        DeadlineError: it has not ended after `wait_s`; the command stays.
    """
    record = folder.record()
    if record["state"] not in AT_WORK:
        raise InputError(f"study {folder.study} is {record['state']}, not running", f"raytune show {folder.study}")
    if is_lost(record, read_status(folder)) and not _is_between_drivers(record):
        if record["state"] == StudyState.QUEUED:  # its job is gone: nobody will begin it
            folder.update(state=StudyState.STOPPED.value, reason="stopped, its job was gone", settled=True)
            return StudyState.STOPPED, "stopped, its job was gone"
        said = f"the driver of study {folder.study} is lost: nobody works on it"
        raise InputError(said, f"raytune resume {folder.study}")
    send(folder, Command(Order.PAUSE if pause else Order.STOP, user_name()))
    deadline_s = time.monotonic() + wait_s
    while (record := folder.record())["state"] in AT_WORK:
        if time.monotonic() > deadline_s:
            said = f"study {folder.study} has not ended after {wait_s:g} s"
            raise DeadlineError(said, "it may be busy; `ray job stop` ends its job, a second Ctrl-C a local one")
        time.sleep(LOOK_S)
    return record["state"], record["reason"]


def _is_between_drivers(record: Mapping[str, Any]) -> bool:
    """Whether a job may be about to start a driver again: it hears commands too."""
    return record["state"] == StudyState.RUNNING and record.get("job") is not None


def end_trial(folder: StudyFolder, trial: int) -> str:
    """Ask one trial to end, and say when it will. Raises InputError if there is nothing to end."""
    record = folder.record()
    found = folder.view().trials.get(trial)
    if record["state"] != StudyState.RUNNING or found is None or found.state in _OVER:
        state = f"its trial {trial} is {found.state}" if found else f"it has no trial {trial}"
        raise InputError(f"study {folder.study} is {record['state']}, {state}", f"raytune show {folder.study}")
    send(folder, Command(Order.STOP_TRIAL, user_name(), trial))
    when = "after the epoch it is in" if found.state is TrialState.RUNNING else "now"
    return f"trial {trial} of study {folder.study} ends {when}"
