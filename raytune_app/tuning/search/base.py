"""What every searcher answers.

The Conductor asks for configuration 0, 1, 2, ... in this order and tells what became of each. A searcher is a function
of (experiment, these calls in this order): replaying a study's events through `recall` and `told` gives it its memory
back, after which it suggests what it would have suggested without the interruption.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Values = dict[str, Any]
"""One configuration: the values of the search domains by dotted path."""


class Ending(StrEnum):
    """How a trial ended, as far as a searcher cares."""

    WHOLE = "whole"
    """It trained to its end: its scores are its last word."""
    CUT = "cut"
    """It was paused or stopped early: worse than its peers at that epoch."""
    LOST = "lost"
    """It diverged: as bad as can be."""
    UNKNOWN = "unknown"
    """It failed or was interrupted: nothing can be learnt."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a trial.

    Attributes:
        scores: one for each objective, larger is better, of the best epoch (by the first objective); empty if none.
        curve: the first objective's score by epoch, larger is better; None where it was not finite.
        ending: how it ended.
    """

    scores: Sequence[float]
    curve: Mapping[int, float | None]
    ending: Ending


Learnt = Sequence[tuple[Values, Told]]
"""Configurations of another study, and what became of them."""


class Search(ABC):
    """Base of all searchers."""

    @abstractmethod
    def suggest(self, number: int) -> Values:
        """The configuration of trial `number`; every path of `experiment.domains()` has a value inside its domain."""

    def recall(self, number: int, values: Values) -> None:  # noqa: B027  # most searchers remember nothing
        """Trial `number` was given these values before the study was interrupted."""

    def told(self, number: int, told: Told) -> None:  # noqa: B027  # most searchers remember nothing
        """What became of trial `number`; a trial that went on after a pause is told again, with more epochs."""

    def learn(self, values: Values, told: Told) -> None:  # noqa: B027  # most searchers remember nothing
        """What became of a trial of another study, whose values lie inside this study's domains."""
