"""What belongs to the whole process: its environment and signal handlers, changed for a while, and its user."""

from __future__ import annotations

import getpass
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """These variables, for what runs or is started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def signals_kept(*numbers: signal.Signals) -> Iterator[None]:
    """Whatever handlers are installed for these signals inside, those of before are back afterwards.

    Does nothing outside the main thread, where Python allows no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signal_deferred(number: signal.Signals) -> Iterator[None]:
    """A handler of this signal that is written in Python runs after what is inside, not in the middle of it.

    Does nothing outside the main thread, where no handler runs.
    """
    came: list[int] = []
    before = signal.getsignal(number)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        signal.signal(number, lambda got, _: came.append(got))
        yield
    finally:
        signal.signal(number, before)
        if came:
            signal.raise_signal(number)


@contextmanager
def signals_ignored(*numbers: signal.Signals) -> Iterator[None]:
    """These signals have no effect meanwhile, here and, for good, in the processes that are started meanwhile."""
    with signals_kept(*numbers):
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                signal.signal(number, signal.SIG_IGN)
        yield


def user_name() -> str:
    """Who this is, for lists and queues; nobody checks it. A container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
