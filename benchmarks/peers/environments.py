"""A virtual environment for each peer, made by uv; one whose list of requirements is unchanged is used again."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

INSTALL_DEADLINE_S = 900
MARK = "requirements.sha256"
COMMON = (f"torch=={version('torch')}",)
"""The same torch as ours, so that the model is as fast everywhere."""


class PeerError(Exception):
    """A peer cannot be installed, started or asked; the text says why, and the others go on."""


def system_python() -> str:
    """The operating system's own interpreter. Raises PeerError if there is none."""
    found = shutil.which("python3", path=os.defpath)
    if found is None:
        raise PeerError("the operating system has no python3 of its own")
    return found


def environment(folder: Path, name: str, requirements: Sequence[str], python: str = sys.executable) -> Path:
    """The interpreter of the environment `name` in `folder`, made now if it is not there.

    Args:
        python: the interpreter that it is made with.

    Raises:
        PeerError: uv failed, or took longer than INSTALL_DEADLINE_S.
    """
    place = folder / name
    interpreter, mark = place / "bin" / "python", place / MARK
    wanted = sorted([*COMMON, *requirements])
    digest = hashlib.sha256("\n".join([_version(python), *wanted]).encode()).hexdigest()
    if mark.exists() and mark.read_text() == digest:
        return interpreter
    uv = [sys.executable, "-m", "uv"]
    print(f"making the environment of {name}: {', '.join(wanted)}", file=sys.stderr)
    _run([*uv, "venv", "--quiet", "--clear", "--python", python, str(place)])
    _run([*uv, "pip", "install", "--quiet", "--link-mode", "hardlink", "--python", str(interpreter), *wanted])
    mark.write_text(digest)
    return interpreter


def installed(interpreter: Path, packages: Sequence[str]) -> str:
    """What stands in the environment, as `name version` of each package named. Raises PeerError."""
    code = "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    return _run([str(interpreter), "-c", code, *packages])


def _version(python: str) -> str:
    return _run([python, "-c", "import sys; print(sys.version)"])


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # uv, and interpreters
            command, capture_output=True, text=True, check=False, timeout=INSTALL_DEADLINE_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{Path(command[0]).name}: {error}") from error
    if done.returncode:
        raise PeerError(done.stderr.strip()[-600:] or f"{command[0]} exited with {done.returncode}")
    return done.stdout.strip()
