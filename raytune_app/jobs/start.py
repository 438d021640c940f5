"""The first file that a submitted job runs, by whatever `python3` the head has: it goes on with the cluster's own.

Ray's processes may run in an environment that is not on the PATH of a job's command; the raylet's command line names
its interpreter. Standard library only, and nothing that an older Python 3 would not understand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

WORKER_COMMAND = "--python_worker_command="


def ancestors(pid: int) -> Iterator[list[str]]:
    """The command lines of the processes above, the nearest first."""
    while pid > 1:
        try:
            process = Path(f"/proc/{pid}")
            yield (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            pid = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return


def interpreter(commands: Iterable[list[str]]) -> str:
    """The Python that the cluster's own processes run with; this one if that cannot be told."""
    for command in commands:
        for argument in command:
            if argument.startswith(WORKER_COMMAND):
                return argument[len(WORKER_COMMAND) :].split()[0]
    return sys.executable


if __name__ == "__main__":
    python = interpreter(ancestors(os.getpid()))
    os.execv(python, [python, "-m", *(sys.argv[1:] or ["raytune_app.jobs.guardian"])])  # noqa: S606
