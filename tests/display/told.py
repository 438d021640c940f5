"""A study's folder that is told by hand what happens in it, as its driver would."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from raytune_app.spec import Experiment, parse
from raytune_app.storage import Storage
from raytune_app.tuning.events import EventLog, read_events
from raytune_app.tuning.folder import StudyFolder, create_study, this_process
from raytune_app.tuning.record import write_winner
from raytune_app.tuning.tables import write_trials
from raytune_app.tuning.view import Event, StudyState
from raytune_app.tuning.winner import choose

ELSEWHERE = {"host": "another-machine", "pid": 4711, "started": 0.0}
CONFIG = {"train.lr": 0.01}


def experiment(**changes: Any) -> Experiment:
    """Six trials of three epochs, judged after the first."""
    content = {
        "name": "small",
        "seed": 3,
        "data": {"name": "mnist", "train_limit": 300},
        "model": {"name": "tutorial_cnn"},
        "train": {"epochs": 3, "batch_size": 50, "lr": {"loguniform": [1e-4, 1e-1]}, "speed": "plain"},
        "resources": {"cpus": 2, "gpus": 0},
        "scheduler": {"name": "asha", "grace": 1, "reduction": 3},
        "trials": 6,
    }
    return parse(content | changes)


class Told:
    """A study of `experiment` in a storage, queued until `start`."""

    def __init__(self, storage: Storage, **changes: Any) -> None:
        self.experiment = experiment(**changes)
        self.folder: StudyFolder = create_study(storage, self.experiment)
        self.log = EventLog(storage, self.folder.paths)

    def start(self, driver: dict[str, Any] | None = None) -> None:
        """A driver, this very process unless another is named, begins."""
        began = datetime.now(UTC).isoformat(timespec="seconds")
        self.folder.update(state=StudyState.RUNNING.value, driver=driver or this_process(), began=began)
        size = {"trials": self.experiment.trials, "epochs": self.experiment.train.epochs}
        self.log.append("study_started", study=self.folder.study, **size)

    def trial(self, trial: int, *scores: float | None, state: str | None = "finished", **ended: Any) -> None:
        """A trial with these accuracies, one an epoch; it ends in `state` unless that is None."""
        self.log.append("trial_started", trial=trial, config=CONFIG, role="search", of=None)
        for epoch, score in enumerate(scores, 1):
            self.epoch(trial, epoch, score, goes_on=epoch < len(scores))
        self.log.append("checkpoint", trial=trial, epoch=len(scores), path=f"tune/{trial}", mb=0.5)
        if state is not None:
            self.log.append("trial_ended", trial=trial, state=state, **{"error": None, **ended})

    def epoch(self, trial: int, epoch: int, score: float | None, *, goes_on: bool = True, **more: Any) -> None:
        """An epoch of two seconds, judged if it is the first."""
        judged = {"decision": "continue" if goes_on else "stopped", "rung": 1} if epoch == 1 else {}
        row = {"accuracy": score, "loss": 0.5, "epoch_s": 2.0, "examples_per_s": 100.0, "diverged": False}
        self.log.append("epoch", trial=trial, epoch=epoch, **{**row, "decision": None, "rung": None, **judged, **more})

    def beat(self, time: datetime, driver: dict[str, Any], **more: Any) -> None:
        """The driver writes that it lives."""
        status = {"time": time.isoformat(), "driver": driver, "slots": 2, "waiting": [], "nodes": [], **more}
        self.folder.storage.write_json(self.folder.paths.status, status)

    def end(self, state: StudyState = StudyState.FINISHED, reason: str | None = None) -> None:
        """The study ends, with a winner if there is one."""
        view = self.log.view
        winner = choose(view, self.experiment)
        if winner:
            write_winner(self.folder, self.experiment, view, winner)
        write_trials(self.folder, view, self.experiment.objective)
        self.log.append("study_ended", state=state.value, reason=reason)
        self.folder.update(state=state.value, reason=reason)

    def log_events(self) -> list[Event]:
        """What was told so far."""
        return read_events(self.folder.storage, self.folder.paths)
