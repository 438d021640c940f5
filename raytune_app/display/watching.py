"""A study followed from its storage alone, from any machine, whether its driver lives or not."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from rich.live import Live

from raytune_app.display.frame import Frame
from raytune_app.display.text import duration, one_line
from raytune_app.errors import NotFoundError, StorageError
from raytune_app.tuning.account import Account
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.liveness import Status, is_lost, read_status
from raytune_app.tuning.tail import Tail
from raytune_app.tuning.view import AT_WORK, Event, StudyState

POLL_S, OBJECT_STORE_POLL_S = 0.5, 2.0
SETTLE_S = 300.0
"""How long the winner of a finished study may take to be scored and registered."""
RESTART_S = 120.0
"""How long the driver of a study on a cluster may be lost before nobody is expected to start it again."""


class Watching:
    """Reads what is new at each `poll`, and draws it.

    Args:
        folder: of the study.
        clock: seconds that only grow.

    Attributes:
        record: the content of study.json.
        status: the driver's last beat.
        is_lost: the driver is gone, though the study should be running.
        trouble: why the storage could not be read at the last poll.

    Raises:
        NotFoundError, StorageError: the study cannot be read.
    """

    def __init__(self, folder: StudyFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self.record = folder.record()
        self.experiment = folder.experiment()
        self.account = Account(self.experiment.objective)
        self.status: Status | None = None
        self.is_lost = False
        self.trouble: str | None = None
        self._tail, self._clock = Tail(folder), clock
        self._lost_since: float | None = None

    @property
    def every_s(self) -> float:
        """How often to poll: an object store is asked less."""
        return POLL_S if self.folder.storage.is_local else OBJECT_STORE_POLL_S

    def poll(self, heard: Callable[[Event], None] | None = None) -> list[Event]:
        """What is new. A storage that does not answer is told in `trouble`, and asked again at the next poll.

        Args:
            heard: called with each event as soon as the account has it, and before it has the next.

        Raises:
            NotFoundError: the study was deleted.
        """
        try:
            self.record = self.folder.record()  # before the log: when it says that the study ended, the log is whole
            self.status = read_status(self.folder) if self.record["state"] in AT_WORK else None
            events = self._new_events()
        except NotFoundError:
            raise
        except StorageError as error:
            self.trouble = error.message
            return []
        self.trouble = None
        for event in events:
            self.account.apply(event)
            if heard is not None:
                heard(event)
        if any(event["event"] == "study_resumed" for event in events):  # perhaps with another budget
            with suppress(StorageError):  # then the one before is shown
                self.experiment = self.folder.experiment()
        self._look_for_driver()
        return events

    @property
    def state(self) -> StudyState:
        return StudyState(self.record["state"])

    @property
    def is_over(self) -> bool:
        """Nothing more will come: the study ended, or its driver is lost and nobody is expected to start it again."""
        if self.state not in AT_WORK:
            return self._is_settled
        patience = RESTART_S if self.record.get("job") else 0.0
        return self._lost_since is not None and self._clock() - self._lost_since >= patience

    @property
    def _is_settled(self) -> bool:
        """Whether its winner is scored and registered, or nobody is expected to do that any more."""
        if self.record.get("settled", True) or not self.record.get("ended"):
            return True
        age = datetime.now(UTC) - datetime.fromisoformat(self.record["ended"])
        return age.total_seconds() > SETTLE_S

    @property
    def headline(self) -> str:
        """The state in words."""
        job = self.record.get("job") or {}
        if self.state is StudyState.QUEUED:
            return f"queued, {before_text(job['ahead'])}" if job.get("ahead") is not None else "in preparation"
        age = datetime.now(UTC) - datetime.fromisoformat(self.record.get("began") or self.record["created"])
        if self.state is StudyState.RUNNING:
            attempt = f", attempt {job['attempt']}" if job.get("attempt", 1) > 1 else ""
            return f"running for {duration(age.total_seconds())}{attempt}"
        reason = f" by {one_line(self.record['reason'])}" if self.record.get("reason") else ""
        return f"{self.state}{reason}"

    @property
    def alarm(self) -> str | None:
        """What is wrong, and the remedy."""
        if self.trouble:
            return f"the storage does not answer, trying again: {self.trouble}"
        if self.is_lost:
            return f"the study's driver is lost; to go on: raytune resume {self.folder.study}"
        return None

    @property
    def frame(self) -> Frame:
        """The study as it is now, to print or to show in a notebook."""
        return Frame(self.account, self.experiment, self.headline, self.record, self.status, self.alarm)

    def to_dict(self) -> dict[str, Any]:
        """The state in short, for JSON."""
        leader = self.account.leader
        metric = str(self.account.objective.metric)
        row = self.account.best(leader.number) if leader else None
        best = {"trial": leader.number, "epoch": row["epoch"], metric: row[metric]} if leader and row else None
        counts = {state.value: count for state, count in self.account.counts.items()}
        state = "stale" if self.is_lost else self.state.value
        return {"study": self.folder.study, "state": state, "reason": self.record["reason"], "best": best} | {
            "trials": counts,
            "epochs": self.account.epochs,
        }

    def _new_events(self) -> list[Event]:
        try:
            return self._tail.new()
        except NotFoundError:  # nothing has happened yet
            return []

    def _look_for_driver(self) -> None:
        self.is_lost = is_lost(self.record, self.status)
        if not self.is_lost:
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = self._clock()


def before_text(ahead: int) -> str:
    """How many studies stand before one in the queue."""
    if ahead == 0:
        return "the next in the queue"
    return f"{ahead} {'study' if ahead == 1 else 'studies'} before it"


def watch_here(folder: StudyFolder) -> Watching:
    """Show the study until it is over or interrupted: in a notebook's cell in place, else on the terminal."""
    watching = Watching(folder)
    watching.poll()
    show, close = _shown_in_notebook(watching) or _shown_on_terminal(watching)
    try:
        while not watching.is_over:
            time.sleep(watching.every_s)
            watching.poll()
            show()
    finally:
        close()
    return watching


def _shown_in_notebook(watching: Watching) -> tuple[Callable[[], object], Callable[[], object]] | None:
    """How to show it again, and how to end; None where there is no notebook."""
    try:
        from IPython import get_ipython  # type: ignore[import-not-found]  # of the notebook that this runs in
        from IPython.display import display  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        return None
    if not hasattr(get_ipython(), "kernel"):
        return None
    shown = display(watching.frame, display_id=True)
    return lambda: shown.update(watching.frame), lambda: None


def _shown_on_terminal(watching: Watching) -> tuple[Callable[[], object], Callable[[], object]]:
    live = Live(watching.frame, auto_refresh=False)
    live.start(refresh=True)
    return lambda: live.update(watching.frame, refresh=True), live.stop
