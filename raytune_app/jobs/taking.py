"""How a job takes its study over: a new one is made, one that was there goes on, and never two jobs at once."""

from __future__ import annotations

import time

from raytune_app.errors import InputError
from raytune_app.jobs.order import JobOrder
from raytune_app.jobs.queue import DEAD_S
from raytune_app.jobs.tickets import Tickets
from raytune_app.spec import parse
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.folder import StudyFolder, create_study, open_study
from raytune_app.tuning.liveness import is_lost, read_status
from raytune_app.tuning.mailbox import take
from raytune_app.tuning.view import StudyState

LOOK_S = 1.0
FREE_S = 60.0
"""For the job that has ended a study to end itself."""


def take_over(order: JobOrder, tickets: Tickets) -> tuple[StudyFolder, StudyState]:
    """The study's folder, made if the study is new, with this job in its record; and its state before.

    What was asked of an earlier driver is forgotten.

    Raises:
        InputError: another job or driver has the study.
        NotFoundError: there is no such study to go on with.
        StorageError: the storage cannot be written.
    """
    storage = Storage(order.storage)
    job = {"id": order.job, "user": order.user, "priority": order.priority, "submitted": order.submitted}
    job |= {"attempt": 0, "ahead": 0}
    if order.spec is not None and not storage.exists(StudyPaths(order.study).state):
        made = create_study(storage, parse(order.spec), order.study, job=job, replay=order.replay)
        return made, StudyState.QUEUED
    folder = open_study(storage, order.study)
    _wait_until_free(folder, tickets)
    before = StudyState(folder.record()["state"])
    take(folder)
    folder.update(state=StudyState.QUEUED.value, reason=None, ended=None, settled=False, job=job)
    return folder, before


def _wait_until_free(folder: StudyFolder, tickets: Tickets) -> None:
    """A job that has just ended its study needs a moment to end itself. Raises InputError if one still works on it."""
    until_s = time.monotonic() + FREE_S
    while True:
        record = folder.record()
        is_held = any(one.study == folder.study and time.time() - one.beat_s < DEAD_S for one in tickets.all())
        works = record["state"] == StudyState.RUNNING and not is_lost(record, read_status(folder))
        if not is_held and not works:
            return
        if works or record["state"] == StudyState.QUEUED or time.monotonic() > until_s:
            raise InputError(f"study {folder.study} is being worked on", f"raytune stop {folder.study}")
        time.sleep(LOOK_S)
