"""TensorBoard event files, one folder a trial, written from the study's events as they happen."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tensorboardX import SummaryWriter

from raytune_app.spec import Experiment
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.hparams import FILE, config_text, study_account, trial_account
from raytune_app.tuning.view import Event, Role, StudyView

_NO_SCALARS = ("trial", "epoch", "rung", "pid")


class TensorBoard:
    """An observer of the event log; use as a context manager around the study.

    On a local storage the curves grow in the study folder; on an object store they are put there when the study ends.
    What the HParams page shows of a trial is written when the trial ends.

    Args:
        past: the events of a study that goes on.
    """

    def __init__(self, folder: StudyFolder, experiment: Experiment, past: Sequence[Event] = ()) -> None:
        self._folder, self._experiment = folder, experiment
        self._past, self._view = past, StudyView()
        self._writers: dict[int, SummaryWriter] = {}
        self._spool = None if folder.storage.is_local else tempfile.TemporaryDirectory(prefix="raytune-tensorboard-")
        self._root = Path(self._spool.name if self._spool else folder.storage.full(folder.paths.tensorboard))

    def __enter__(self) -> Self:
        """Bring what tells of the whole study up to date: a study that goes on may have been edited, or cut off."""
        self._write("", study_account(self._experiment))
        known = set(self._folder.storage.files_below(self._folder.paths.tensorboard))
        for event in self._past:
            self._view.apply(event)
        last = {event["trial"]: event for event in self._past if event["event"] == "trial_ended"}
        for trial, event in last.items():
            if f"{_name(trial)}/{FILE}" not in known:
                self._account(event)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            writer.close()
        if self._spool:
            self._upload()
            self._spool.cleanup()

    def __call__(self, event: Event) -> None:
        self._view.apply(event)
        match event["event"]:
            case "trial_started" | "trial_resumed":
                self._begin(event)
            case "epoch":
                self._add(self._writers[event["trial"]], event)
            case "trial_paused" | "trial_interrupted":
                self._close(event["trial"])
            case "trial_ended":
                self._close(event["trial"])
                self._account(event)

    def _begin(self, event: Event) -> None:
        number = event["trial"]
        self._close(number)
        stint = len(self._view.trials[number].stints) - 1  # two stints that begin in one second are still two files
        writer = SummaryWriter(str(self._root / _name(number)), filename_suffix=f".{stint}")
        self._writers[number] = writer
        writer.add_text("config", config_text(event["config"]), event.get("epoch", 0))

    def _add(self, writer: SummaryWriter, event: Event) -> None:
        for name, value in event.items():
            if name not in _NO_SCALARS and isinstance(value, int | float) and not isinstance(value, bool):
                writer.add_scalar(name, value, event["epoch"])
        writer.flush()

    def _close(self, trial: int) -> None:
        if writer := self._writers.pop(trial, None):
            writer.close()

    def _account(self, event: Event) -> None:
        trial = self._view.trials[event["trial"]]
        group = trial.of if trial.role is Role.CONFIRM and trial.of is not None else trial.number
        self._write(_name(trial.number), trial_account(trial, self._experiment, _name(group), event["time"]))

    def _write(self, name: str, content: bytes) -> None:
        place = f"{name}/{FILE}" if name else FILE
        self._folder.storage.write(f"{self._folder.paths.tensorboard}/{place}", content)

    def _upload(self) -> None:
        for file in self._root.rglob("*.*"):
            path = f"{self._folder.paths.tensorboard}/{file.relative_to(self._root)}"
            self._folder.storage.write(path, file.read_bytes())


def _name(trial: int) -> str:
    """Of the trial's folder."""
    return f"trial-{trial:05d}"
