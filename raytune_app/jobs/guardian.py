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
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any, TypeVar

from raytune_app.errors import RaytuneError
from raytune_app.jobs.order import VARIABLE, JobOrder
from raytune_app.jobs.queue import Limits, Ticket, admitted, ahead
from raytune_app.jobs.taking import take_over
from raytune_app.jobs.tickets import Tickets
from raytune_app.tuning.folder import StudyFolder, now_text
from raytune_app.tuning.liveness import is_lost, read_status
from raytune_app.tuning.mailbox import Order, take
from raytune_app.tuning.view import AT_WORK, StudyState

LOOK_S = 1.0
BEAT_S = 5.0
LISTEN_S = 5.0
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
_prctl = ctypes.CDLL(None).prctl
_ENDED = (StudyState.FINISHED, StudyState.STOPPED, StudyState.PAUSED, StudyState.FAILED)
_STATE_AFTER = {Order.STOP: StudyState.STOPPED, Order.PAUSE: StudyState.PAUSED}


T = TypeVar("T")


class Guardian:
    """One job's life.

    Args:
        order: what the job is told.
        folder: of its study.
        tickets: of all submitted studies.
        command: the driver's.
        before: how the study was: so it is again if the driver refuses to go on with it.
    """

    def __init__(
        self,
        order: JobOrder,
        folder: StudyFolder,
        tickets: Tickets,
        command: list[str],
        before: StudyState = StudyState.QUEUED,
    ) -> None:
        self._order, self._folder, self._tickets, self._command = order, folder, tickets, command
        self._before = before
        self._beaten_s = float("-inf")
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
            self._try(lambda: self._tickets.remove(self._order.study))

    def _wait_for_turn(self, limits: Limits) -> bool:
        """False if the study was stopped meanwhile."""
        self._renew(runs=False)
        self._stopped.wait(SETTLE_S)
        while not self._stopped.is_set():
            if state := self._asked():
                self._end(state, f"{state.value} before it began")
                return False
            if self._try(self._is_next, limits):
                return True
            self._stopped.wait(LOOK_S)
            self._renew(runs=False)
        self._end(StudyState.STOPPED, "stopped before it began")
        return False

    def _is_next(self, limits: Limits) -> bool:
        tickets, now_s = self._tickets.all(), time.time()
        if self._order.study in admitted(tickets, limits, now_s):
            self._renew(runs=True)
            self._tell(ahead=0)
            return True
        self._tell(ahead=ahead(tickets, self._order.study, now_s))
        return False

    def _run_driver(self) -> int:
        code = 0
        for attempt in range(1, self._order.retries + 2):
            if self._stopped.is_set():
                break
            self._try(self._tell, attempt=attempt)
            code = self._driver()
            state, is_settled = self._state()
            if state not in AT_WORK and (is_settled or code == 0):
                return int(state == StudyState.FAILED)
            if code == REFUSED or self._stopped.is_set():
                break
            if attempt <= self._order.retries:
                _say(f"the driver ended with {_named(code)}; once more ({attempt} of {self._order.retries})\n")
                if asked := self._rest(REST_S[min(attempt, len(REST_S)) - 1]):
                    self._end(asked, f"{asked.value} between two drivers")
                    return 0
        return self._give_up(code)

    def _give_up(self, code: int) -> int:
        """Say why in the record, unless it is somebody else's by now; a study that was refused is as it was."""
        if self._stopped.is_set():
            self._end(StudyState.STOPPED, "interrupted")
            return 0
        told = [line.removeprefix("error: ") for line in self._words if line.startswith("error: ")]
        reason = told[-1] if told else f"its driver ended with {_named(code)}"
        record = self._folder.record()
        if code == REFUSED and record["state"] == StudyState.QUEUED and self._before in _ENDED:
            self._end(self._before, f"{self._order.job} was refused: {reason}")
        elif record["state"] == StudyState.QUEUED or is_lost(record, read_status(self._folder)):
            self._end(StudyState.FAILED, reason)
        return 1

    def _driver(self) -> int:
        """Run one driver to its end; returns its exit code, negative for the signal that killed it."""
        self._words.clear()
        with subprocess.Popen(  # noqa: S603  # a list of our own making, no shell
            self._command,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            preexec_fn=_end_with_parent,  # noqa: PLW1509  # it calls into the C library and nothing else
        ) as process:
            listener = threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)
            listener.start()
            while _lives(process):
                self._renew(runs=True)
            listener.join(timeout=LISTEN_S)  # a child of the driver may hold its stderr for ever
            return process.returncode

    def _listen(self, words: IO[str]) -> None:
        for line in words:
            self._words.append(line.rstrip("\n"))
            _say(line)

    def _rest(self, seconds: float) -> StudyState | None:
        """Returns how the study should end, if somebody asks for that meanwhile."""
        until_s = time.monotonic() + seconds
        asked = None
        while time.monotonic() < until_s and not self._stopped.is_set() and asked is None:
            self._renew(runs=True)
            self._stopped.wait(LOOK_S)
            asked = self._asked()
        return asked

    def _renew(self, *, runs: bool) -> None:
        """The ticket for the others, and, as long as no driver gives one, a sign of life for those who watch."""
        self._ticket = replace(self._ticket, runs=runs, beat_s=time.time())
        self._try(self._tickets.put, self._ticket)
        if time.monotonic() - self._beaten_s >= BEAT_S:
            self._beaten_s = time.monotonic()
            self._try(self._beat)

    def _beat(self) -> None:
        if self._folder.record()["state"] == StudyState.QUEUED:
            content: dict[str, Any] = {"time": now_text(), "driver": None, "slots": 0, "waiting": [], "nodes": []}
            self._folder.storage.write_json(self._folder.paths.status, content)

    def _try(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T | None:
        """None if the storage or the store is away for a moment: the next try may find it."""
        try:
            return call(*arguments, **options)
        except Exception as error:  # noqa: BLE001  # Ray's own errors have no common base
            _say(f"{type(error).__name__}: {error}\n")
            return None

    def _tell(self, **changes: int) -> None:
        """Write into study.json what changed of the job; only while no driver writes there."""
        job = self._folder.record()["job"]
        if job | changes != job:
            self._folder.update(job=job | changes)

    def _state(self) -> tuple[str, bool]:
        """The study's state, and whether that is the whole of it: its winner is scored, too."""
        record = self._folder.record()
        return str(record["state"]), bool(record.get("settled", True))

    def _end(self, state: StudyState, reason: str) -> None:
        self._folder.update(state=state.value, reason=reason, ended=now_text(), settled=True)

    def _asked(self) -> StudyState | None:
        """How the study should end, if somebody asked for that before it began."""
        commands = self._try(take, self._folder) or []
        return next((_STATE_AFTER[one.order] for one in commands if one.order in _STATE_AFTER), None)


def main() -> int:
    """What a submitted job runs. Returns its exit code."""
    order = JobOrder.from_text(os.environ[VARIABLE])
    tickets = Tickets(os.environ["RAY_ADDRESS"])
    try:
        folder, before = take_over(order, tickets)
        guardian = Guardian(order, folder, tickets, driver_command(order), before)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, guardian.stop)
        return guardian.run()
    except RaytuneError as error:
        _say(f"error: {error.message}\n  {error.remedy}\n")
        return error.exit_code


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
    _prctl(_SET_DEATH_SIGNAL, signal.SIGINT)


def _say(text: str) -> None:
    """Into the job's log."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _named(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


if __name__ == "__main__":
    sys.exit(main())
