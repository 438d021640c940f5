"""A server in processes of its own: started, waited for, weighed, and ended by their ids."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks.peers.environments import PeerError

START_DEADLINE_S = 150.0
STOP_DEADLINE_S = 60.0
GRACE_S = 5.0
POLL_S = 0.1
MB = 1e6
KEPT = ("PATH", "LANG", "TMPDIR")
"""Of our environment: what is set here for other reasons must not make a peer fast or slow."""


class Server:
    """A command and every process that comes of it; as a context manager they are ended at the end.

    Args:
        folder: its working folder and its home, where its log is too.
        environment: variables that it gets beside a few of ours.

    Raises:
        PeerError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        variables = {**kept, "HOME": str(folder), "OMP_NUM_THREADS": "1", **environment}
        self._log = folder / "log"
        try:
            with self._log.open("wb") as output:
                self._process = subprocess.Popen(  # noqa: S603  # ourselves
                    command, stdout=output, stderr=output, cwd=folder, env=variables, start_new_session=True
                )
        except OSError as error:
            raise PeerError(str(error)) from error
        self._known: set[psutil.Process] = set()

    def wait(self, lack: Callable[[], str | None]) -> None:
        """Until it lacks nothing. Raises PeerError if it ends before, or does not get there in time."""
        deadline, lacking = time.monotonic() + START_DEADLINE_S, None
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise PeerError(f"it ended with {self._process.returncode}: {self.last_words()}")
            if (lacking := lack()) is None:
                self._look()
                return
            time.sleep(POLL_S)
        raise PeerError(f"not ready in {START_DEADLINE_S:.0f} s: {lacking}; its log: {self.last_words()}")

    def memory(self) -> dict[str, float]:
        """Megabytes of all its processes together; in `pss_mb` what several share counts once."""
        self._look()
        rss, pss, largest, count = 0, 0, 0, 0
        for process in self._known:
            with suppress(psutil.Error):
                info = process.memory_full_info()
                rss, pss, largest, count = rss + info.rss, pss + info.pss, max(largest, info.pss), count + 1
        return {"rss_mb": rss / MB, "pss_mb": pss / MB, "largest_pss_mb": largest / MB, "processes": count}

    def last_words(self) -> str:
        """The end of its log."""
        text = self._log.read_text(errors="replace").strip()
        return " | ".join(text.splitlines()[-4:])[-500:] or "it said nothing"

    def _look(self) -> None:
        """Ray's and others' processes begin sessions of their own, but stay descendants."""
        with suppress(psutil.Error):
            root = psutil.Process(self._process.pid)
            self._known |= {root, *root.children(recursive=True)}
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if os.getsid(process.pid) == self._process.pid:
                    self._known.add(process)

    def stop(self) -> None:
        """Ask the first process to end, then end whatever is left."""
        self._look()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_DEADLINE_S)
        self._look()
        for end in (psutil.Process.terminate, psutil.Process.kill):
            left = [process for process in self._known if process.is_running()]
            for process in left:
                with suppress(psutil.Error):
                    end(process)
            psutil.wait_procs(left, timeout=GRACE_S)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
