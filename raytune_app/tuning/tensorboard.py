"""TensorBoard event files, one folder a trial, written from the study's events as they happen."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tensorboardX import SummaryWriter

from raytune_app.tuning.events import Event
from raytune_app.tuning.folder import StudyFolder

SCALARS = ("train_loss", "train_accuracy", "loss", "accuracy", "macro_precision", "macro_recall", "macro_f1", "lr")


class TensorBoard:
    """An observer of the event log; use as a context manager around the study.

    On a local storage the files grow in the study folder; on an object store they are put there when the study ends.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._writers: dict[int, SummaryWriter] = {}
        self._spool = None if folder.storage.is_local else tempfile.TemporaryDirectory(prefix="raytune-tensorboard-")
        self._root = Path(self._spool.name if self._spool else folder.storage.full(folder.paths.tensorboard))

    def __enter__(self) -> Self:
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
        if event["event"] == "trial_started":
            writer = self._writers[event["trial"]] = SummaryWriter(str(self._root / f"trial-{event['trial']:05d}"))
            writer.add_text("config", "\n".join(f"    {path}: {value}" for path, value in event["config"].items()))
        elif event["event"] == "epoch":
            writer = self._writers[event["trial"]]
            for name in SCALARS:
                if event[name] is not None:
                    writer.add_scalar(name, event[name], event["epoch"])
            writer.flush()
        elif event["event"] == "trial_ended" and event["trial"] in self._writers:
            self._writers[event["trial"]].close()

    def _upload(self) -> None:
        for file in self._root.rglob("*.*"):
            path = f"{self._folder.paths.tensorboard}/{file.relative_to(self._root)}"
            self._folder.storage.write(path, file.read_bytes())
