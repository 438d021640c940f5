"""Why a trial's process stopped working, from Ray's account of its error."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import raytune_app

_LOST_NODE = ("node died", "node has died", "preempted", "node is dead", "terminated expectedly")
_FRAME = re.compile(r'^  File ".*\n(?:    .*\n)?', re.MULTILINE)
_NOT_OWN = ("site-packages", str(Path(raytune_app.__file__).parent))


class Fault(StrEnum):
    """Why a trial's process stopped working."""

    CODE = "code"
    """The trial's own code raised: it would again."""
    PROCESS = "process"
    """The process died: killed, out of memory, a crash in native code."""
    NODE = "node"
    """Its node was lost or preempted: not the trial's doing."""
    GPU_MEMORY = "gpu_memory"
    """Its share of a GPU was too small."""


def fault_of(text: str) -> Fault:
    """What kind of failure Ray's account of a trial's error tells of."""
    if "WorkerLostError" in text:
        return Fault.NODE if any(sign in text.lower() for sign in _LOST_NODE) else Fault.PROCESS
    if "ray::" in text and _FRAME.search(text):
        return Fault.GPU_MEMORY if "OutOfMemoryError" in text and "CUDA" in text else Fault.CODE
    lowered = text.lower()
    return Fault.NODE if any(sign in lowered for sign in _LOST_NODE) else Fault.PROCESS


def traceback_of(text: str) -> str:
    """The frames of the user's own files and the error's own line; all frames where none is the user's."""
    frames = _FRAME.findall(text)
    own = [frame for frame in frames if not any(part in frame for part in _NOT_OWN)]
    last = text.strip().splitlines()[-1:] if frames else []
    return "\n".join([*(frame.rstrip() for frame in own or frames), *last])
