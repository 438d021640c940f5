"""Studies that somebody looks at: their logs are read once, and from then on only what is new."""

from __future__ import annotations

import gzip
import json
import secrets
import threading
import time
from collections import OrderedDict
from datetime import datetime
from typing import Any

from raytune_app.board.chronicle import Chronicle
from raytune_app.board.columns import columns
from raytune_app.board.facts import Files, head, trial
from raytune_app.errors import NotFoundError, StorageError
from raytune_app.names import check_name
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.tail import Tail

LOCAL_S, REMOTE_S = 0.5, 2.0
"""Between looks at a log: on a disk, in an object store."""
MAX_OPEN = 8
"""Studies kept in memory; the one that nobody has asked for the longest time goes first."""
COMPRESSION = 1
"""Of gzip: a study of 10,000 trials is compressed in a tenth of the time that the best compression takes."""

Json = dict[str, Any]


class Watched:
    """One study; safe to use from several threads.

    Args:
        folder: which.

    Raises:
        NotFoundError: it has no experiment file or record.
        StorageError: they cannot be read.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder
        self.experiment = folder.experiment()
        self.look_s = LOCAL_S if folder.storage.is_local else REMOTE_S
        self._files = Files.of(folder)
        self._files_version = 0
        self._was_resumed = False
        self._begin()
        self._lock = threading.RLock()
        self._looked = -float("inf")
        self._body: tuple[str, bytes] = ("", b"")

    @property
    def stamp(self) -> str:
        """Changes whenever anything that a page shows does."""
        return f"{self._boot}-{self.chronicle.version}-{self._files_version}"

    def look(self, now: datetime | None = None) -> str:
        """Read what is new, unless it was looked for just now; returns the stamp. Raises StorageError.

        Args:
            now: this machine's time, in UTC: a driver that has been silent for long is lost.
        """
        with self._lock:
            if time.monotonic() - self._looked < self.look_s / 2:
                return self.stamp
            self._fold()
            if self._was_resumed:
                self.experiment, self._was_resumed = self.folder.experiment(), False  # its budget may be another now
            files = Files.of(self.folder, now)
            if files != self._files:
                self._files, self._files_version = files, self._files_version + 1
            self._looked = time.monotonic()
            return self.stamp

    def body(self) -> bytes:
        """All of it as JSON, compressed by gzip: `{"stamp", "head", "columns"}`."""
        with self._lock:
            stamp = self.look()
            if self._body[0] != stamp:
                content = self._content(columns(self.chronicle, self.experiment))
                self._body = stamp, gzip.compress(dumped(content), COMPRESSION)
            return self._body[1]

    def since(self, stamp: str) -> Json:
        """The same with the trials alone that changed after `stamp`; all of them for the stamp of another server."""
        boot, _, rest = stamp.partition("-")
        version = rest.partition("-")[0]
        with self._lock:
            seen = int(version) if boot == self._boot and version.isdecimal() else 0
            return self._content(columns(self.chronicle, self.experiment, self.chronicle.since(seen)))

    def trial(self, number: int) -> Json:
        """One trial in full. Raises NotFoundError."""
        with self._lock:
            self.look()
            return trial(self.chronicle, number)

    def figures(self) -> dict[str, str]:
        """Titles of the figures that this study can be drawn as, by name."""
        from raytune_app.board import figures

        with self._lock:
            self.look()
            return {name: figures.FIGURES[name] for name in figures.available(self.experiment, self.chronicle.view)}

    def figure(self, name: str, choice: dict[str, str]) -> Json:
        """A figure as plotly wants it, and what it says in a sentence. Raises NotFoundError, InputError."""
        from raytune_app.board import figures

        if name not in figures.FIGURES:
            raise NotFoundError(f"there is no figure {name!r}", f"there are: {', '.join(figures.FIGURES)}")
        with self._lock:
            self.look()
            drawn = figures.figure(name, self.experiment, self.chronicle.view, **choice)
            said = figures.describe(name, self.experiment, self.chronicle.view, **choice)
        return {"title": figures.FIGURES[name], "said": said, "figure": json.loads(drawn.to_json())}

    def _begin(self) -> None:
        self.chronicle = Chronicle(self.experiment.objective)
        self._tail = Tail(self.folder)
        self._boot = secrets.token_hex(4)

    def _fold(self) -> None:
        try:
            events = self._tail.new()
            self._was_resumed |= any(event["event"] == "study_resumed" for event in events)
            self.chronicle.take(events)
        except StorageError:  # nothing was read
            raise
        except Exception:  # read, but not or half folded: the tail is beyond it
            self._begin()
            raise

    def _content(self, content: Json) -> Json:
        told = head(self.folder.study, self.experiment, self._files, self.chronicle)
        return {"stamp": self.stamp, "head": told, "columns": content}


class Shelf:
    """The studies of a storage that are open; safe to use from several threads."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._open: OrderedDict[str, Watched] = OrderedDict()
        self._lock = threading.Lock()

    def study(self, study: str) -> Watched:
        """The study of exactly this id. Raises NotFoundError, InputError for what cannot be an id, StorageError."""
        check_name(study, "study")
        with self._lock:
            if study not in self._open:
                if not self.storage.exists(StudyPaths(study).state):
                    raise NotFoundError(f"no study {study!r} in this storage", "`raytune studies` lists them")
                self._open[study] = Watched(StudyFolder(self.storage, StudyPaths(study)))
            self._open.move_to_end(study)
            while len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
            return self._open[study]


def dumped(content: Any) -> bytes:
    """JSON as small as it gets."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
