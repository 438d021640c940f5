"""The trials so far as records, out of which an Optuna study is made for every suggestion."""

from __future__ import annotations

import copy
import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from raytune_app.tuning.search.base import Ending, Told

_NO_TIME = dt.datetime.fromtimestamp(0, tz=dt.UTC)
"""Optuna wants times and reads none of them."""


class SharedTrial(FrozenTrial):
    """A study copies every trial it is given. These never change, so a shallow copy will do: seven times as fast."""

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedTrial:
        return copy.copy(self)


@dataclass(slots=True)
class Record:
    """One trial: Optuna's parameters, what its sampler noted at the suggestion, and its last word if there is one."""

    parameters: dict[str, Any]
    notes: dict[str, Any]
    told: Told | None = None
    frozen: FrozenTrial | None = None
    """The same as Optuna's, if nothing has changed since it was made."""


class Memory:
    """The trials in the order of their suggestions.

    A trial that was told again has its later word only: a promoted trial does not stay among the bad ones.

    Args:
        distributions: of the parameters.
        ranks_cut: the sampler knows what to do with trials that were cut short: TPE ranks them behind whole ones, by
            epochs and then by score. For others a cut trial's best score is its word, since those that went on had
            a better one by the same epoch; and a diverged trial is as bad as the worst of all, once there is one.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], *, ranks_cut: bool) -> None:
        self._distributions = dict(distributions)
        self._ranks_cut = ranks_cut
        self._records: list[Record] = []
        self._worst: list[float] | None = None

    def add(self, parameters: Mapping[str, Any], notes: Mapping[str, Any]) -> Record:
        """A trial that runs from now on."""
        self._records.append(Record(dict(parameters), dict(notes)))
        return self._records[-1]

    def tell(self, record: Record, told: Told) -> None:
        """What became of the trial. That it failed says nothing of its parameters, and hides no earlier word."""
        if told.ending is Ending.UNKNOWN and record.told is not None:
            return
        record.told, record.frozen = told, None
        if told.ending is not Ending.LOST and _is_scored(told):
            self._note_worst([min(pair) for pair in zip(self._worst or told.scores, told.scores, strict=True)])

    def trials(self) -> list[FrozenTrial]:
        """All of them as they stand, for `Study.add_trials`."""
        return [self._frozen(record) for record in self._records]

    def _note_worst(self, worst: list[float]) -> None:
        if worst != self._worst:
            self._worst = worst
            for record in self._records:
                record.frozen = None

    def _frozen(self, record: Record) -> FrozenTrial:
        if record.frozen is None:
            state, values, curve = self._word(record.told)
            record.frozen = SharedTrial(
                number=-1,
                trial_id=-1,
                state=state,
                value=None,
                values=values,
                datetime_start=_NO_TIME,
                datetime_complete=None if state is TrialState.RUNNING else _NO_TIME,
                params=record.parameters,
                distributions=self._distributions,
                user_attrs={},
                system_attrs=record.notes,
                intermediate_values=curve,
            )
        return record.frozen

    def _word(self, told: Told | None) -> tuple[TrialState, list[float] | None, dict[int, float]]:
        """State, values and intermediate values in Optuna's sense; no value that is not finite."""
        if told is None:
            return TrialState.RUNNING, None, {}
        if told.ending is Ending.UNKNOWN or (told.ending is not Ending.LOST and not told.scores):
            return TrialState.FAIL, None, {}
        lost = told.ending is Ending.LOST or not _is_scored(told)
        if self._ranks_cut and (lost or told.ending is Ending.CUT):
            return TrialState.PRUNED, None, {} if lost else _finite(told.curve)
        values = self._worst if lost else [float(score) for score in told.scores]
        return (TrialState.FAIL, None, {}) if values is None else (TrialState.COMPLETE, values, {})


def _is_scored(told: Told) -> bool:
    return bool(told.scores) and all(map(math.isfinite, told.scores))


def _finite(curve: Mapping[int, float | None]) -> dict[int, float]:
    return {epoch: score for epoch, score in curve.items() if score is not None and math.isfinite(score)}
