"""The process of a submitted job: waits for the study's turn, runs its driver, and starts it again when it dies.

It holds neither torch nor a connection to Ray, so a study that waits costs little. The driver is `raytune
resume STUDY` in a process of its own: a study begins, and goes on after a crash or a stop, in one and the same way.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import IO

from raytune_app.errors import InputError, RaytuneError
from raytune_app.jobs.order import VARIABLE, JobOrder
from raytune_app.jobs.queue import DEAD_S, Limits, Ticket, admitted, ahead
from raytune_app.jobs.tickets import Tickets
from raytune_app.spec import parse
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.folder import StudyFolder, create_study, open_study
from raytune_app.tuning.liveness import is_lost, read_status
from raytune_app.tuning.mailbox import Order, take
from raytune_app.tuning.view import StudyState

LOOK_S = 1.0
SETTLE_S = 0.5
"""A new ticket is seen by all before anybody decides."""
REST_S = (1.0, 5.0, 20.0, 60.0)
"""Before a driver that died is started again, the first, second ... time; the last for all further ones."""
LAST_WORDS = 30
"""Lines of the driver's stderr that are kept to say why it ended."""
REFUSED = 2
"""The exit code for input that cannot be used: trying again would not help."""
_SET_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
_OPEN = (StudyState.QUEUED, StudyState.RUNNING)
_STATE_AFTER = {Order.STOP: StudyState.STOPPED, Order.PAUSE: StudyState.PAUSED}


class Guardian:
    """One job's life.

    Args:
        order: what the job is told.
        folder: of its study.
        tickets: of all submitted studies.
        command: the driver's.
    """

    def __init__(self, order: JobOrder, folder: StudyFolder, tickets: Tickets, command: list[str]) -> None:
        self._order, self._folder, self._tickets, self._command = order, folder, tickets, command
        self._ticket = Ticket(order.study, order.user, order.priority, order.submitted, runs=False, beat_s=0.0)
        self._stopped = threading.Event()
        self._words: deque[str] = deque(maxlen=LAST_WORDS)

    def stop(self, *_: object) -> None:
        """Whoever stops the job has told the driver too."""
        self._stopped.set()

    def run(self) -> int:
        """Wait, run, and return the job's exit code: 0 if the study came to an end that was wanted."""
        try:
            if not self._wait_for_turn(Limits.of(os.environ)):
                return 0
            return self._run_driver()
        finally:
            self._tickets.remove(self._order.study)

    def _wait_for_turn(self, limits: Limits) -> bool:
        """False if the study was stopped meanwhile."""
        self._renew(runs=False)
        self._stopped.wait(SETTLE_S)
        while not self._stopped.is_set():
            if state := self._asked():
                self._end(state, f"{state.value} before it began")
                return False
            tickets, now_s = self._tickets.all(), time.time()
            if self._order.study in admitted(tickets, limits, now_s):
                self._renew(runs=True)
                self._tell(ahead=0)
                return True
            self._tell(ahead=ahead(tickets, self._order.study, now_s))
            self._stopped.wait(LOOK_S)
            self._renew(runs=False)
        self._end(StudyState.STOPPED, "stopped before it began")
        return False

    def _run_driver(self) -> int:
        code = 0
        for attempt in range(1, self._order.retries + 2):
            self._tell(attempt=attempt)
            code = self._driver()
            state = self._state()
            if state not in _OPEN:
                return int(state == StudyState.FAILED)
            if code == REFUSED or self._stopped.is_set():
                break
            if attempt <= self._order.retries:
                said = f"the driver ended with {_named(code)}; it is started again ({attempt} of {self._order.retries})"
                _say(said + "\n")
                self._rest(REST_S[min(attempt, len(REST_S)) - 1])
        if self._stopped.is_set():
            self._end(StudyState.STOPPED, "interrupted")
            return 0
        told = next((line.removeprefix("error: ") for line in self._words if line.startswith("error: ")), None)
        self._end(StudyState.FAILED, told or f"its driver ended with {_named(code)}")
        return 1

    def _driver(self) -> int:
        """Run one driver to its end; returns its exit code, negative for the signal that killed it."""
        with subprocess.Popen(  # noqa: S603  # a list of our own making, no shell
            self._command,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            preexec_fn=_end_with_parent,  # noqa: PLW1509  # before any thread is started
        ) as process:
            listener = threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)
            listener.start()
            while _lives(process):
                self._renew(runs=True)
            listener.join()
            return process.returncode

    def _listen(self, words: IO[str]) -> None:
        for line in words:
            self._words.append(line.rstrip("\n"))
            _say(line)

    def _rest(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s and not self._stopped.is_set():
            self._renew(runs=True)
            self._stopped.wait(LOOK_S)

    def _renew(self, *, runs: bool) -> None:
        self._ticket = replace(self._ticket, runs=runs, beat_s=time.time())
        self._tickets.put(self._ticket)

    def _tell(self, **changes: int) -> None:
        """Write into study.json what changed of the job; only while no driver writes there."""
        job = self._folder.record()["job"]
        if job | changes != job:
            self._folder.update(job=job | changes)

    def _state(self) -> str:
        return str(self._folder.record()["state"])

    def _end(self, state: StudyState, reason: str) -> None:
        self._folder.update(state=state.value, reason=reason, ended=datetime.now(UTC).isoformat(timespec="seconds"))

    def _asked(self) -> StudyState | None:
        """How the study should end, if somebody asked for that before it began."""
        return next((_STATE_AFTER[one.order] for one in take(self._folder) if one.order in _STATE_AFTER), None)


def main() -> int:
    """What a submitted job runs. Returns its exit code."""
    order = JobOrder.from_text(os.environ[VARIABLE])
    tickets = Tickets(os.environ["RAY_ADDRESS"])
    try:
        guardian = Guardian(order, take_over(order, tickets), tickets, driver_command(order))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, guardian.stop)
        return guardian.run()
    except RaytuneError as error:
        _say(f"error: {error.message}\n  {error.remedy}\n")
        return error.exit_code


def take_over(order: JobOrder, tickets: Tickets) -> StudyFolder:
    """The study's folder, made if the study is new, with this job in its record.

    Raises:
        InputError: another job or driver has the study.
        NotFoundError: there is no such study to go on with.
        StorageError: the storage cannot be written.
    """
    storage = Storage(order.storage)
    job = {"id": order.job, "user": order.user, "priority": order.priority, "submitted": order.submitted}
    job |= {"attempt": 0, "ahead": 0}
    if order.spec is not None and not storage.exists(StudyPaths(order.study).state):
        return create_study(storage, parse(order.spec), order.study, job=job, replay=order.replay)
    folder = open_study(storage, order.study)
    record = folder.record()
    is_held = any(one.study == order.study and time.time() - one.beat_s < DEAD_S for one in tickets.all())
    if is_held or (record["state"] == StudyState.RUNNING and not is_lost(record, read_status(folder))):
        raise InputError(f"study {order.study} is being worked on", f"raytune stop {order.study}")
    folder.update(state=StudyState.QUEUED.value, reason=None, ended=None, job=job)
    return folder


def driver_command(order: JobOrder) -> list[str]:
    """`raytune resume`, from the folder that the job's code lies in."""
    edits = [part for edit in order.edits for part in ("--set", edit)]
    command = [sys.executable, "-m", "raytune_app", "resume", order.study, "--storage", order.storage]
    return [*command, "--code", ".", *edits]


def _lives(process: subprocess.Popen[str]) -> bool:
    """After at most LOOK_S."""
    try:
        process.wait(LOOK_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _end_with_parent() -> None:
    """If the guardian is killed outright, the driver ends in good order; nobody would know of it any more."""
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGINT)


def _say(text: str) -> None:
    """Into the job's log."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _named(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


if __name__ == "__main__":
    sys.exit(main())
