"""A Ray cluster of real `ray start` processes on this machine: a head and workers, each with an address of its own.

Each has a folder of its own too: nodes that unpack a job's code into the same one delete it under each other's feet. A
node is one blocking `ray start` whose descendants are ended by their ids, also when a test fails.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import requests

RAY = Path(sys.executable).parent / "ray"
START_S = 60.0


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class RayNodes:
    """A head at 127.0.0.1 and workers at 127.0.0.2 and on, with a token of their own; use as a context manager.

    Args:
        environment: more variables for every node.
        head: resources of the head, as `ray start` takes them.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, *, head_cpus: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-nodes-"))
        self.token_file = self.folder / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(secrets.token_hex(32))
        self.port, self.dashboard_port, self.client_port = free_port(), free_port(), free_port()
        self._head_cpus = head_cpus
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY")},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_file),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            **(environment or {}),
        }

    @property
    def address(self) -> str:
        """For drivers."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Of the dashboard and the Jobs API."""
        return f"http://127.0.0.1:{self.dashboard_port}"

    def start_head(self) -> None:
        """Start the head and wait until it takes jobs."""
        self._start(
            "head", "127.0.0.1", self._head_cpus, 0,
            "--head", f"--port={self.port}", f"--dashboard-port={self.dashboard_port}", "--dashboard-host=127.0.0.1",
            f"--ray-client-server-port={self.client_port}",
        )  # fmt: skip
        self._wait_for(lambda: self._nodes_alive() >= 1, "the head")

    def add_worker(self, cpus: int = 2, gpus: int = 0, inside: Sequence[str] = ()) -> str:
        """Start a worker, inside another command if one is given, wait until the head knows it, return its name."""
        number = 2 + len(self._nodes)
        name, alive = f"worker-{number}", self._nodes_alive()
        self._start(name, f"127.0.0.{number}", cpus, gpus, f"--address={self.address}", inside=inside)
        self._wait_for(lambda: self._nodes_alive() > alive, name)
        return name

    def kill(self, name: str) -> None:
        """End every process of the node at once, as a power cut does."""
        process = self._nodes[name]
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            found = [root, *root.children(recursive=True)]
            for each in found:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(found, timeout=10)
        process.wait(timeout=10)

    def get(self, path: str) -> requests.Response:
        """Ask the dashboard, with the token."""
        headers = {"Authorization": f"Bearer {self.token_file.read_text()}"}
        return requests.get(f"{self.url}{path}", headers=headers, timeout=10)

    def __enter__(self) -> Self:
        try:
            self.start_head()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all nodes and remove their folder."""
        for name in list(self._nodes):
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, name: str, host: str, cpus: int, gpus: int, *options: str, inside: Sequence[str] = ()) -> None:
        command = [
            *inside, str(RAY), "start", "--block", f"--node-ip-address={host}",
            f"--num-cpus={cpus}", f"--num-gpus={gpus}",
            f"--dashboard-agent-listen-port={free_port()}", f"--metrics-export-port={free_port()}",
            "--object-store-memory=200000000", f"--temp-dir={self.folder / name}", *options,
        ]  # fmt: skip
        with (self.folder / f"{name}.log").open("wb") as log:
            self._nodes[name] = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def _nodes_alive(self) -> int:
        """As the head's dashboard counts those whose agent takes jobs."""
        try:
            found = self.get("/nodes?view=summary").json()["data"]["summary"]
        except (requests.RequestException, KeyError, ValueError):
            return 0
        return sum(node.get("raylet", {}).get("state") == "ALIVE" for node in found)

    def _wait_for(self, done: object, what: str) -> None:
        assert callable(done)
        deadline = time.monotonic() + START_S
        while not done():
            logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, f"{what} did not start:\n{logs}"
            time.sleep(0.2)
