"""Which slot trained which trial when, from the times of the epochs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from raytune_app.tuning.view import Event, StudyView, TrialView

MANY_SLOTS = 40
"""More processes than this do not stay rows of their own: trials did not share them."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Epochs that one slot trained of one trial without a break; times in seconds since the first stretch began."""

    trial: int
    slot: str
    start_s: float
    end_s: float
    epochs: int


def stretches(view: StudyView) -> tuple[list[Stretch], bool]:
    """All stretches by their start, and whether the slots are known.

    A slot is a process. Logs of older versions do not name it, and trials in processes of their own share none: then
    stretches are put in as few rows as are needed for no two to overlap.
    """
    found = sorted(
        (one for trial in view.trials.values() for one in _of(trial)), key=lambda one: (one.start_s, one.trial)
    )
    first = found[0].start_s if found else 0.0
    found = [replace(one, start_s=one.start_s - first, end_s=one.end_s - first) for one in found]
    slots = {one.slot for one in found}
    if "" in slots or len(slots) > MANY_SLOTS:
        return _in_rows(found), False
    return found, True


def _of(trial: TrialView) -> Iterable[Stretch]:
    current: Stretch | None = None
    for row in trial.epochs:
        end = datetime.fromisoformat(row["time"]).timestamp()
        took = float(row.get("epoch_s") or 0.0)
        slot = _slot(row)
        if current and current.slot == slot and end - took - current.end_s <= max(1.0, took):
            current = replace(current, end_s=end, epochs=current.epochs + 1)
            continue
        if current:
            yield current
        current = Stretch(trial.number, slot, max(end - took, current.end_s if current else 0.0), end, 1)
    if current:
        yield current


def _slot(row: Event) -> str:
    return f"{row['host']} {row['pid']}" if row.get("host") and row.get("pid") else ""


def _in_rows(found: list[Stretch]) -> list[Stretch]:
    """Each stretch in the first row that is free when it begins."""
    free: list[float] = []
    placed = []
    for one in found:
        row = next((i for i, until in enumerate(free) if until <= one.start_s), len(free))
        if row == len(free):
            free.append(0.0)
        free[row] = one.end_s
        placed.append(replace(one, slot=f"slot {row + 1}"))
    return placed
