"""Configurations that a person wants tried first: `search.points`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raytune_app.spec.domains import Domain, Kind
from raytune_app.spec.grammar import Experiment
from raytune_app.tuning.search.base import Search, Told, Values

_REAL = (Kind.UNIFORM, Kind.LOGUNIFORM, Kind.QUNIFORM)


def exact(domain: Domain, value: Any) -> Any:
    """A value that the domain holds, as the domain itself would give it: 1.0 as 1 where whole numbers are searched."""
    assert domain.holds(value), (domain, value)
    if domain.is_listed:
        return next(each for each in domain.arguments if value == each and type(value) is type(each))
    return float(domain.nearest(value)) if domain.kind in _REAL else domain.nearest(value)


def exact_points(experiment: Experiment) -> Sequence[Values]:
    """`search.points` with every value as its domain would give it."""
    domains = experiment.domains()
    return [{path: exact(domains[path], value) for path, value in point.items()} for point in experiment.search.points]


class Points(Search):
    """Trial n is point n as far as the point goes; the rest, and all later trials, are those of another search."""

    def __init__(self, experiment: Experiment, search: Search) -> None:
        self._points = exact_points(experiment)
        self._search = search

    def suggest(self, number: int) -> Values:
        point = self._points[number] if number < len(self._points) else {}
        return {**self._search.suggest(number), **point}

    def recall(self, number: int, values: Values) -> None:
        self._search.recall(number, values)

    def told(self, number: int, told: Told) -> None:
        self._search.told(number, told)

    def learn(self, values: Mapping[str, Any], told: Told) -> None:
        self._search.learn(dict(values), told)
