"""Who stood where when trials were judged: a row a rung, from a study's account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raytune_app.tuning.account import Account
from raytune_app.tuning.schedule.base import Verdict
from raytune_app.tuning.view import Event, TrialState, TrialView


@dataclass(frozen=True, slots=True)
class RungRow:
    """One rung.

    Attributes:
        epoch: after which trials are judged.
        reached: how many came to it.
        promoted: how many of these went on from it, or may.
        waiting: how many are paused at it.
        best: the best score at it; None if no score was finite.
        cutoff: the worst score with which a trial went on.
    """

    epoch: int
    reached: int
    promoted: int
    waiting: int
    best: float | None
    cutoff: float | None


def rung_table(account: Account) -> list[RungRow]:
    """The rungs that any trial has reached, the earliest first; none for schedules that never judge."""
    return [_row(account, rung, found) for rung, found in sorted(account.judged.items()) if found]


def _row(account: Account, rung: int, found: Mapping[int, Event]) -> RungRow:
    metric, sign, trials = account.objective.metric, account.objective.sign, account.view.trials
    scores = [sign * row[metric] for row in found.values() if row.get(metric) is not None]
    on = [row for trial, row in found.items() if _went_on(trials[trial], row)]
    passed = [sign * row[metric] for row in on if row.get(metric) is not None]
    waiting = sum(_waits(trials[trial], row) for trial, row in found.items())
    best, cutoff = (sign * max(scores) if scores else None), (sign * min(passed) if passed else None)
    return RungRow(rung, len(found), len(on), waiting, best, cutoff)


def _went_on(trial: TrialView, row: Event) -> bool:
    """A schedule that stops trials says so at once; one that pauses them resumes those that it promotes."""
    if row["decision"] == Verdict.CONTINUE or (trial.last or row)["epoch"] > row["epoch"]:
        return True
    return any(stint.epoch == row["epoch"] for stint in trial.stints[1:])


def _waits(trial: TrialView, row: Event) -> bool:
    return trial.state is TrialState.PAUSED and trial.last is row
