"""A study from Python: its state, its winner, its tables and figures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raytune_app.errors import DeadlineError, NotFoundError, StudyError
from raytune_app.storage import Storage, StudyPaths

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from raytune_app.tuning.folder import StudyFolder

LOOK_S = 0.5
BEGIN_S = 900.0
"""For a submitted study to show up in the storage."""
END_S = 90.0
"""For a study that was asked to end."""


@dataclass(frozen=True)
class Study:
    """One study in a storage, wherever it runs.

    Attributes:
        storage: where it is.
        id: of the study.
    """

    storage: Storage
    id: str

    @property
    def folder(self) -> StudyFolder:
        """Its folder. Raises NotFoundError before a submitted one has come to the storage."""
        from raytune_app.tuning.folder import open_study

        return open_study(self.storage, self.id)

    @property
    def state(self) -> str:
        """`queued`, `running`, `paused`, `stopped`, `finished` or `failed`; `submitted` before it has begun at all."""
        if not self.storage.exists(StudyPaths(self.id).state):
            return "submitted"
        return str(self.folder.record()["state"])

    def wait(self, timeout_s: float | None = None) -> Study:
        """Block until it has ended, and return it.

        Raises:
            DeadlineError: it has not ended after `timeout_s`.
            StudyError: it failed, or its driver is lost; the message says why.
        """
        from raytune_app.display.watching import Watching

        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        self.appear(deadline_s)
        watching = Watching(self.folder)
        while True:
            watching.poll()
            if watching.is_over:
                break
            _check_time(deadline_s, f"study {self.id} has not ended")
            time.sleep(LOOK_S)
        if watching.is_lost or self.state == "failed":
            raise StudyError(f"study {self.id}: {watching.alarm or watching.headline}", f"raytune logs {self.id}")
        return self

    def best(self) -> dict[str, Any]:
        """The content of winner.json: which trial, its values, its scores, the model's version.

        Raises NotFoundError while nothing has been chosen.
        """
        winner = self.folder.winner()
        if winner is None:
            raise NotFoundError(f"study {self.id} is {self.state} and has no winner yet", "wait for it: study.wait()")
        return winner

    def stop(self, trial: int | None = None) -> None:
        """End it in good order, or only one trial of it. Raises InputError if it does not run, DeadlineError."""
        from raytune_app.jobs.stop import end_study, end_trial

        if trial is not None:
            end_trial(self.folder, trial)
        else:
            end_study(self.folder, pause=False, wait_s=END_S)

    def pause(self) -> None:
        """End it in good order, to go on later. Raises as `stop`."""
        from raytune_app.jobs.stop import end_study

        end_study(self.folder, pause=True, wait_s=END_S)

    def frame(self) -> pd.DataFrame:
        """One row a trial; see `tuning.frame.trials_frame` for the columns."""
        from raytune_app.tuning.frame import trials_frame

        return trials_frame(self.folder.view(), self.folder.experiment())

    def epochs(self) -> pd.DataFrame:
        """One row an epoch; see `tuning.frame.epochs_frame`."""
        from raytune_app.tuning.frame import epochs_frame

        return epochs_frame(self.folder.view())

    def figure(self, name: str, **choice: Any) -> go.Figure:
        """A plotly figure by its name: `parallel`, `importance`, ...; see `board.figures`. Raises InputError."""
        from raytune_app.board.figures import figure

        return figure(name, self.folder.experiment(), self.folder.view(), **choice)

    def appear(self, deadline_s: float | None = None) -> None:
        """Wait until a submitted study is in the storage."""
        latest_s = time.monotonic() + BEGIN_S
        until_s = latest_s if deadline_s is None else min(latest_s, deadline_s)
        while not self.storage.exists(StudyPaths(self.id).state):
            _check_time(until_s, f"study {self.id} has not come to {self.storage.uri}")
            time.sleep(LOOK_S)


def _check_time(deadline_s: float | None, said: str) -> None:
    if deadline_s is not None and time.monotonic() > deadline_s:
        raise DeadlineError(f"{said} in time", "wait longer, or look with `raytune watch`")
