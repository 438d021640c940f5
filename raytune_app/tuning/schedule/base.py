"""What every schedule answers. A schedule is pure: the same calls in the same order give the same decisions.

A trial is trained in stints. A stint begins when the trial starts or goes on, and ends when it pauses or is over. The
Conductor calls, for each trial:

    started -> report ... report -> paused -> resumed -> report ... -> ended

and asks between calls what may be resumed. Because nothing else is remembered, replaying a study's events through these
calls rebuilds a schedule exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What happens to a trial after a report."""

    CONTINUE = "continue"
    PAUSE = "paused"
    """Its state is saved and its slot is free; it goes on if the schedule resumes it."""
    STOP = "stopped"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and the rung it was given at; `rung` is None where no judgement was due."""

    verdict: Verdict = Verdict.CONTINUE
    rung: int | None = None


@dataclass(frozen=True, slots=True)
class Resumption:
    """A paused trial that should go on.

    Attributes:
        trial: which.
        source: the trial whose state it goes on from: its own, or one it copies.
        values: settings that change from here on, by dotted path; the others stay.
        reason: `promoted`, `continued`, `copied`, `replayed`: for people.
    """

    trial: int
    source: int
    reason: str
    values: Mapping[str, Any] = field(default_factory=dict)


GO_ON = Judgement()


class Schedule(ABC):
    """Base of all schedules; the defaults are those of one that lets every trial run to its end."""

    def admits(self) -> bool:
        """Whether a new trial may start now, given those that run or wait."""
        return True

    def started(self, trial: int, values: Mapping[str, Any]) -> None:  # noqa: B027  # most schedules need not know
        """A new trial begins at epoch 0 with these values by dotted path."""

    @abstractmethod
    def report(self, trial: int, epoch: int, score: float) -> Judgement:
        """Judge after an epoch (from 1). Larger scores are better; a score that is not a number never survives."""

    def paused(self, trial: int) -> None:  # noqa: B027  # most schedules need not know
        """The trial has paused as judged, and its state is safe: it may be resumed from now on."""

    def resumptions(self, *, more: bool) -> list[Resumption]:
        """Paused trials that may go on now, the most urgent first.

        Args:
            more: new trials may still come; if not, a schedule that waits for more to compare with waits no longer.
        """
        return []

    def resumed(self, resumption: Resumption) -> None:  # noqa: B027  # most schedules need not know
        """One of `resumptions` has begun to train again."""

    def ended(self, trial: int) -> None:  # noqa: B027  # most schedules need not know
        """The trial will never report again: finished, stopped, diverged or failed."""

    def readmitted(self, trial: int, values: Mapping[str, Any]) -> None:
        """A trial that had ended by a failure goes on after all, from its last saved epoch or from the beginning."""
        self.started(trial, values)

    @property
    def copies(self) -> bool:
        """Whether trials may go on from the state of others, so that no state may be deleted while trials live."""
        return False
