"""TensorBoard event files, one folder a trial, written from the study's events as they happen."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tensorboardX import SummaryWriter

from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.view import Event

_NO_SCALARS = ("trial", "epoch", "rung")


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
        match event["event"]:
            case "trial_started" | "trial_resumed":
                writer = SummaryWriter(str(self._root / f"trial-{event['trial']:05d}"))
                self._writers[event["trial"]] = writer
                text = "\n".join(f"    {path}: {value}" for path, value in event["config"].items())
                writer.add_text("config", text, event.get("epoch", 0))
            case "epoch":
                self._add(self._writers[event["trial"]], event)
            case "trial_paused" | "trial_interrupted" | "trial_ended":
                if writer := self._writers.pop(event["trial"], None):
                    writer.close()

    def _add(self, writer: SummaryWriter, event: Event) -> None:
        for name, value in event.items():
            if name not in _NO_SCALARS and isinstance(value, int | float) and not isinstance(value, bool):
                writer.add_scalar(name, value, event["epoch"])
        writer.flush()

    def _upload(self) -> None:
        for file in self._root.rglob("*.*"):
            path = f"{self._folder.paths.tensorboard}/{file.relative_to(self._root)}"
            self._folder.storage.write(path, file.read_bytes())
