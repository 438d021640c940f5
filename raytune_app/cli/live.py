"""What a person sees of a study that runs here: a live picture on a terminal, one line per ended trial elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from raytune_app.display.frame import Frame, Guarded
from raytune_app.display.lines import Narrator, ended_line
from raytune_app.display.text import duration, printable
from raytune_app.errors import RaytuneError
from raytune_app.spec import Experiment
from raytune_app.tuning.account import Account
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.liveness import Status, read_status
from raytune_app.tuning.view import Event

STATUS_S = 2.0
"""Between looks at who waits for what."""


class LiveTable:
    """An observer of the event log that draws it; use as a context manager around the study.

    Args:
        folder: of the study.
        past: the events of a study that goes on.
        verbose: tell every event in a line too.
    """

    def __init__(
        self, folder: StudyFolder, experiment: Experiment, past: Iterable[Event] = (), *, verbose: bool = False
    ) -> None:
        self._folder, self._experiment, self._verbose = folder, experiment, verbose
        self._account = Account(experiment.objective, past)
        self._narrator = Narrator(experiment)
        self._console = Console(file=sys.stderr)
        self._drawing = threading.Lock()
        self._start_s = time.monotonic()
        self._record: dict[str, Any] = {"study": folder.study}
        self._status: Status | None = None
        self._looked_s = float("-inf")
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        with self._drawing:
            self._account.apply(event)
        if self._verbose:
            self._say("\n".join(self._narrator.lines(event)))
        elif event.get("details"):
            self._say(event["details"])
        if not self._console.is_terminal and event["event"] == "trial_ended":
            self._say(ended_line(self._account, self._experiment, event["trial"]))

    def _render(self) -> Guarded:
        if time.monotonic() - self._looked_s >= STATUS_S:
            self._looked_s = time.monotonic()
            with suppress(RaytuneError):  # the study itself meets a storage that fails
                self._record, self._status = self._folder.record(), read_status(self._folder)
        headline = f"running for {duration(time.monotonic() - self._start_s)}"
        frame = Frame(self._account, self._experiment, headline, self._record, self._status)
        return Guarded(frame, self._drawing)

    def _say(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
