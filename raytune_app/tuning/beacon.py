"""While a driver works on a study: a sign of life in the study's folder, and an ear for what people ask.

`status.json`, written again every few seconds:

    {time, driver: {host, pid, started}, slots, waiting: [{trial, asked, why}],
     nodes: [{name, address, resources, available}]}

`liveness` says when a driver counts as lost. A driver that finds another one named in
`study.json` is not wanted any more: it writes nothing more.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from raytune_app.errors import RaytuneError, StudyError
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.folder import StudyFolder, this_process
from raytune_app.tuning.mailbox import Command, Order, take
from raytune_app.tuning.view import StudyState
from raytune_app.tuning.waiting import Node, why

BEAT_S, OBJECT_STORE_BEAT_S = 2.0, 5.0
LISTEN_S, OBJECT_STORE_LISTEN_S = 0.5, 2.0

_log = logging.getLogger(__name__)

Pending = Sequence[tuple[int | None, dict[str, float]]]
"""Trials that wait and what each asks for."""


class Beacon:
    """Writes the status and hears commands in a thread; `attend`, in the driver's own loop, carries them out.

    Args:
        folder: of the study that this process works on.
        conductor: of the same study; only `attend` touches it.
    """

    def __init__(self, folder: StudyFolder, conductor: Conductor) -> None:
        self._folder, self._conductor = folder, conductor
        self._driver = this_process()
        self._standing: dict[str, Any] = {"slots": 0, "waiting": [], "nodes": []}
        self._heard: queue.Queue[Command | RaytuneError] = queue.Queue()
        self._over = threading.Event()
        is_local = folder.storage.is_local
        self._beat_s = BEAT_S if is_local else OBJECT_STORE_BEAT_S
        self._listen_s = LISTEN_S if is_local else OBJECT_STORE_LISTEN_S
        self._looked_s = float("-inf")
        self._thread = threading.Thread(target=self._run, daemon=True, name="beacon")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def attend(self, slots: int, look: Callable[[], tuple[Pending, Sequence[Node]]]) -> None:
        """Carry out what was asked since the last call, and now and then `look` who waits.

        Call it often, where the conductor is used. Raises StudyError if another driver works on the study.

        Args:
            slots: how many trials run at once.
        """
        while not self._heard.empty():
            self._carry_out(self._heard.get())
        if time.monotonic() - self._looked_s >= self._beat_s:
            self._looked_s = time.monotonic()
            pending, nodes = look()
            waiting = [{"trial": trial, "asked": asked, "why": why(asked, nodes)} for trial, asked in pending]
            self._standing = {"slots": slots, "waiting": waiting, "nodes": [asdict(node) for node in nodes]}

    def _carry_out(self, heard: Command | RaytuneError) -> None:
        if isinstance(heard, RaytuneError):
            self._conductor.log.close(heard)
            raise heard
        self._conductor.log.append("command", **asdict(heard))
        match heard.order:
            case Order.STOP:
                self._conductor.stop(f"stopped by {heard.by}", StudyState.STOPPED)
            case Order.PAUSE:
                self._conductor.stop(f"paused by {heard.by}", StudyState.PAUSED)
            case Order.STOP_TRIAL if heard.trial is not None:
                self._conductor.stop_trial(heard.trial)

    def _run(self) -> None:
        beaten_s = float("-inf")
        while not self._over.is_set():
            try:
                if time.monotonic() - beaten_s >= self._beat_s:
                    beaten_s = time.monotonic()
                    self._beat()
                for command in take(self._folder):
                    self._heard.put(command)
            except Exception as error:  # noqa: BLE001  # a storage that is away for a moment: the study goes on
                _log.warning("no sign of life could be written: %s", error)
            self._over.wait(self._listen_s)

    def _beat(self) -> None:
        other = self._folder.record()["driver"]
        if other is not None and other != self._driver:
            said = f"study {self._folder.study} is worked on by process {other['pid']} of {other['host']} now"
            self._heard.put(StudyError(said, "this one has left it alone"))
            self._over.set()
            return
        content = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "driver": self._driver}
        self._folder.storage.write_json(self._folder.paths.status, {**content, **self._standing})
