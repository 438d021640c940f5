"""Ctrl-C and SIGTERM for verbs that stay in the foreground: both end them in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130
"""The exit code of a verb that a person interrupted."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def terminate_as_interrupt() -> None:
    """From now on SIGTERM, and SIGHUP of a closed terminal, raise KeyboardInterrupt, so that every `with` is left."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def wait_for_interrupt(meanwhile: Callable[[], None] | None = None, every_s: float = 1.0) -> None:
    """Return at Ctrl-C or SIGTERM; a second one does not disturb the orderly stop that follows.

    Args:
        meanwhile: called again and again, with `every_s` between.
    """
    stop = threading.Event()
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(None if meanwhile is None else every_s):
        if meanwhile is not None:
            meanwhile()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
