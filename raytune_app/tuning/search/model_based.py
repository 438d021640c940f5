"""Searches that learn from scores: Optuna's TPE, Gaussian process, CMA-ES and NSGA-II."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from raytune_app.spec.grammar import Experiment
from raytune_app.tuning.search.base import Search, Told, Values
from raytune_app.tuning.search.draws import stream
from raytune_app.tuning.search.encoding import Encoding
from raytune_app.tuning.search.memory import Memory, Record
from raytune_app.tuning.search.points import exact_points
from raytune_app.tuning.search.samplers import build_sampler, one_thread

_logger = logging.getLogger(__name__)
_NOTING = ("cmaes", "nsga2")
"""Samplers that note the state of their search beside each suggestion, and read it there again."""


class ModelBased(Search):
    """One of Optuna's samplers, made anew for every suggestion, as is the study that it sees.

    What stays is the trials alone, and the seed is that of (experiment.seed, number): a suggestion is a function of
    the trials so far, so a search that is rebuilt from them goes on as the interrupted one would have.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._seed, self._name = experiment.seed, experiment.search.name
        self._startup_trials = experiment.search.startup_trials
        self._directions = [StudyDirection.MAXIMIZE] * len(experiment.objectives)
        self._points = exact_points(experiment)
        self._encoding = Encoding(experiment.domains())
        ranks_cut = self._name == "tpe" and len(self._directions) == 1
        self._memory = Memory(self._encoding.distributions, ranks_cut=ranks_cut)
        self._records: dict[int, Record] = {}
        self._learnt: list[Record] = []

    def suggest(self, number: int) -> Values:
        assert number not in self._records, number
        values, notes = self._ask(number, self._point(number))
        self._records[number] = self._memory.add(self._encoding.encode(values), notes)
        return values

    def recall(self, number: int, values: Values) -> None:
        """Remember a suggestion; a sampler that keeps notes has to make them again."""
        assert self._encoding.holds(values), values
        notes: dict[str, Any] = {}
        if self._name in _NOTING:
            again, notes = self._ask(number, self._point(number))
            if again != values:
                _logger.warning("%s now suggests other values for trial %d; the recorded ones stay", self._name, number)
        self._records[number] = self._memory.add(self._encoding.encode(values), notes)

    def told(self, number: int, told: Told) -> None:
        self._memory.tell(self._records[number], told)

    def learn(self, values: Values, told: Told) -> None:
        """Take over a trial of another study, before any of this one; for NSGA-II as if it had been suggested here."""
        assert self._encoding.holds(values) and not self._records, values
        notes = self._ask(f"learnt {len(self._learnt)}", values)[1] if self._name == "nsga2" else {}
        self._learnt.append(self._memory.add(self._encoding.encode(values), notes))
        self._memory.tell(self._learnt[-1], told)

    def _point(self, number: int) -> Values:
        return self._points[number] if number < len(self._points) else {}

    def _ask(self, key: object, given: Mapping[str, Any]) -> tuple[Values, dict[str, Any]]:
        """Values, with `given` in the place of the sampler's own, and the sampler's notes."""
        if not self._encoding.distributions:
            return self._encoding.decode({}), {}
        study = self._study(stream(self._seed, key, "search").randrange(2**32))
        with one_thread():
            trial = study.ask(self._encoding.distributions)
        notes = study.get_trials(deepcopy=False)[-1].system_attrs if self._name in _NOTING else {}
        return {**self._encoding.decode(trial.params), **given}, dict(notes)

    def _study(self, seed: int) -> optuna.Study:
        trials = self._memory.trials()
        known = [trial for trial in trials[: len(self._learnt)] if trial.state is TrialState.COMPLETE]
        sampler = build_sampler(self._name, len(self._directions), seed, self._startup_trials, known)
        study = optuna.create_study(directions=self._directions, sampler=sampler)
        study.add_trials(trials)
        return study
