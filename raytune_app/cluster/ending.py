"""Ends processes that were started here, by their id and start time, so never another one."""

from __future__ import annotations

from contextlib import suppress

import psutil

STOP_GRACE_S = 5.0


def new_children(before: set[psutil.Process]) -> list[psutil.Process]:
    """The children of this process that were not there before."""
    return [child for child in psutil.Process().children() if child not in before]


def with_descendants(roots: list[psutil.Process]) -> list[psutil.Process]:
    """These, and all that descend from them."""
    found = list(roots)
    for root in roots:
        try:
            found += root.children(recursive=True)
        except psutil.NoSuchProcess:
            continue
    return found


def end_all(processes: list[psutil.Process]) -> None:
    """Ask them to end, then make them; psutil knows a process by id and start time, so never another one.

    Ray's agents end by themselves too, but need seconds to find out that their node is gone.
    """
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, processes = psutil.wait_procs(processes, timeout=STOP_GRACE_S)
