"""A study of ours as a study of Optuna's, in memory, for Optuna's figures and measures of importance."""

from __future__ import annotations

import datetime as dt
import math
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from raytune_app.board.looks import text
from raytune_app.board.samples import LOST, Sample, Search
from raytune_app.spec.domains import Domain, Kind
from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.tuning.search.memory import SharedTrial

_NO_TIME = dt.datetime.fromtimestamp(0, tz=dt.UTC)
"""Optuna wants times; no figure that is made of such a study reads them."""

_LABEL = 24
"""Characters of a listed value beside an axis."""


class Label(str):
    """A listed value as text, safe to draw. Optuna shows some texts as `repr` does: with quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def optuna_study(
    search: Search,
    samples: Sequence[Sample] | None = None,
    *,
    objectives: Sequence[int] | None = None,
    settings: Container[str] | None = None,
) -> optuna.Study:
    """The search's trials as Optuna's, with this study's own numbers.

    Trials that ended are COMPLETE with the values of their best epoch, and with one objective its curve; those that
    diverged or failed are FAIL; the others RUNNING. A trial has the parameters that it was given.

    Args:
        search: trials that confirm, compare or refit are not among them.
        samples: these trials alone; None: all of the search.
        objectives: indices of those to take; None: the one that is looked at.
        settings: these parameters alone; None: all that are searched.
    """
    indices = [search.index] if objectives is None else list(objectives)
    every = {path: _Encoding(domain) for path, domain in search.experiment.domains().items()}
    wanted = every.keys() if settings is None else settings
    encodings = {path: each for path, each in every.items() if path in wanted and not each.single}
    samples = search.samples if samples is None else samples
    with quiet():
        directions = [_direction(search.experiment.objectives[index]) for index in indices]
        study = optuna.create_study(directions=directions, study_name=text(search.view.study or search.experiment.name))
        study.add_trials([_frozen(sample, encodings, indices) for sample in samples])
    for frozen, sample in zip(study.get_trials(deepcopy=False), samples, strict=True):
        frozen.number = sample.number  # Optuna counts what it is given, from 0
    return study


@contextmanager
def quiet() -> Iterator[None]:
    """Neither Optuna's log lines nor its warnings, that something is experimental or that there are few trials."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def distinct(domain: Domain) -> list[Any]:
    """The listed values, each once, in the file's order; 1, 1.0 and true are three."""
    return list({(type(value), value): value for value in domain.arguments}.values())


def labels(domain: Domain) -> list[Label]:
    """The listed values as texts, different ones for different values (1, true, "1"), in the file's order."""
    values = distinct(domain)
    plain = [text(value, _LABEL) for value in values]
    clash = {each for each in plain if plain.count(each) > 1}
    named = [
        f"{each} ({type(value).__name__})" if each in clash else each for each, value in zip(plain, values, strict=True)
    ]
    return [Label(each if named.count(each) == 1 else f"{each} {i}") for i, each in enumerate(named)]


class _Encoding:
    """One domain as Optuna's distribution, and its values as Optuna's."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._listed: dict[tuple[type, Any], Any] = {}
        if domain.is_listed:
            self._listed = _listed(domain)
        self.distribution = _distribution(domain, list(self._listed.values()))
        self.single = self.distribution.single()

    def encode(self, value: Any) -> Any:
        """Optuna's for a value that the domain holds; just inside it, and of the type that Optuna wants."""
        if self._listed:
            return self._listed[type(value), value]
        nearest = self._domain.nearest(value)
        return nearest if isinstance(self.distribution, IntDistribution) else float(nearest)


def _listed(domain: Domain) -> dict[tuple[type, Any], Any]:
    """Optuna's choice for each listed value: a number where all are different numbers, else a label."""
    values = distinct(domain)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    choices = values if numbers and len(set(values)) == len(values) else labels(domain)
    return {(type(value), value): choice for value, choice in zip(values, choices, strict=True)}


def _distribution(domain: Domain, choices: list[Any]) -> BaseDistribution:
    if domain.is_listed:
        return CategoricalDistribution(choices)
    low, high = domain.arguments[:2]
    if domain.kind in {Kind.RANDINT, Kind.LOGRANDINT}:
        return IntDistribution(low, high - 1, log=domain.kind is Kind.LOGRANDINT)
    if domain.kind is Kind.QUNIFORM:
        return FloatDistribution(domain.nearest(low), domain.nearest(high), step=domain.arguments[2])
    return FloatDistribution(low, math.nextafter(high, low), log=domain.kind is Kind.LOGUNIFORM)


def _direction(objective: ObjectiveSpec) -> StudyDirection:
    return StudyDirection.MAXIMIZE if objective.sign > 0 else StudyDirection.MINIMIZE


def _frozen(sample: Sample, encodings: Mapping[str, _Encoding], indices: Sequence[int]) -> FrozenTrial:
    state = _state(sample)
    held = {path: each for path, each in encodings.items() if path in sample.config}
    return SharedTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=None,
        values=[sample.values[index] for index in indices] if state is TrialState.COMPLETE else None,
        datetime_start=_NO_TIME,
        datetime_complete=None if state is TrialState.RUNNING else _NO_TIME,
        params={path: each.encode(sample.config[path]) for path, each in held.items()},
        distributions={path: each.distribution for path, each in held.items()},
        user_attrs={},
        system_attrs={},
        intermediate_values=sample.curve if len(indices) == 1 else {},
    )


def _state(sample: Sample) -> TrialState:
    if sample.counts:
        return TrialState.COMPLETE
    is_over = sample.state in LOST or sample.state.value in {"finished", "stopped", "paused"}
    return TrialState.FAIL if is_over else TrialState.RUNNING
