"""A sample of the requests as lines of JSON: what was answered, how surely and how fast; what was asked only on demand.

Several processes of one machine may write to one file. It is bounded: a full file becomes FILE.1, that FILE.2, and so
on; the oldest is lost.
"""

from __future__ import annotations

import base64
import fcntl
import logging
import os
import queue
import random
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from serving.watch.watching import NS, Note

MAX_BYTES = 64 * 2**20
"""Of a file, before the next one is begun."""

KEPT = 3
"""Full files that are kept."""

MAX_EXAMPLES = 100
"""Of one request that a line tells; `examples` says how many there were."""

MAX_INPUT_BYTES = 2**20
MAX_WAITING = 10_000
"""Lines that wait for a slow disk, a hundredth of it with inputs; more are dropped."""

_log = logging.getLogger("ray.serve")


class RequestLog:
    """A watcher that writes lines, from a thread of its own; a line that cannot be written is lost and nothing else.

    Args:
        sample: the share of the requests that is written, drawn by chance.
        with_inputs: whether a line also has the texts or pixels that were asked about, if they are not over 1 MiB.
        max_bytes: of a file.
        every_s: seconds between two writes, so that many lines cost one.
    """

    def __init__(
        self,
        file: str | Path,
        sample: float = 1.0,
        *,
        with_inputs: bool = False,
        max_bytes: int = MAX_BYTES,
        every_s: float = 0.1,
    ) -> None:
        self._file = Path(file)
        self._sample = sample
        self._with_inputs = with_inputs
        self._max_bytes = max_bytes
        self._every_s = every_s
        self._waiting = queue.Queue[bytes](MAX_WAITING // 100 if with_inputs else MAX_WAITING)
        self._is_broken = False
        threading.Thread(target=self._write_on, name="request log", daemon=True).start()

    def wants(self) -> bool:
        return random.random() < self._sample

    def __call__(self, note: Note) -> None:
        line = to_json(_content(note, with_inputs=self._with_inputs)) + b"\n"
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._broken("the disk is too slow")

    def flush(self) -> None:
        """Wait until everything noted so far is written, or lost."""
        self._waiting.join()

    def _write_on(self) -> None:
        while True:
            lines = [self._waiting.get()]
            time.sleep(self._every_s)
            while not self._waiting.empty() and sum(map(len, lines)) < self._max_bytes // 2:
                lines.append(self._waiting.get())
            try:
                self._write(b"".join(lines))
                self._is_broken = False
            except OSError as error:
                self._broken(str(error))
            for _ in lines:
                self._waiting.task_done()

    def _broken(self, why: str) -> None:
        if not self._is_broken:
            _log.warning("the request log loses lines: %s", why)
        self._is_broken = True

    def _write(self, content: bytes) -> None:
        while True:
            with open(self._file, "ab", opener=_private) as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
                if not _is_at(file.fileno(), self._file):  # another process has just moved it away
                    continue
                if file.tell() and file.tell() + len(content) > self._max_bytes:
                    self._move_on()
                    continue
                file.write(content)
                return

    def _move_on(self) -> None:
        names = [self._file, *(self._file.with_name(f"{self._file.name}.{number}") for number in range(1, KEPT + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _content(note: Note, *, with_inputs: bool) -> dict[str, Any]:
    content: dict[str, Any] = {
        "time": datetime.fromtimestamp(note.unix_ns / NS, UTC).isoformat(timespec="milliseconds"),
        "id": note.id,
        "status": note.status,
        "ms": round((note.end - note.start) * 1000, 3),
        "body_bytes": note.body_bytes,
        "answer_bytes": note.answer_bytes,
    }
    if note.probabilities is not None:
        told = note.probabilities[:MAX_EXAMPLES]
        content |= {
            "model": note.model,
            "version": note.version,
            "examples": len(note.probabilities),
            "labels": [note.labels[index] for index in told.argmax(axis=1)],
            "confidence": [round(float(each), 4) for each in told.max(axis=1)],
        }
    if with_inputs and note.batch is not None:
        content["inputs"] = _inputs(note.batch)
    return content


def _inputs(batch: Any) -> Any:
    """Texts as they are, pixels in base64; None if they are too many."""
    if isinstance(batch, np.ndarray):
        if batch.nbytes > MAX_INPUT_BYTES:
            return None
        octets = base64.b64encode(np.ascontiguousarray(batch).tobytes()).decode()
        return {"shape": list(batch.shape), "dtype": str(batch.dtype), "base64": octets}
    return batch if sum(map(len, batch)) <= MAX_INPUT_BYTES else None
