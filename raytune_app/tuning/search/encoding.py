"""Search domains as Optuna's distributions, and values to and fro."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from raytune_app.spec.domains import Domain, Kind
from raytune_app.tuning.search.base import Values
from raytune_app.tuning.search.points import exact


class Encoding:
    """Values by dotted path as Optuna's parameters and back.

    Listed values and multiples of a step are known to Optuna by their index: then neither equal values of different
    types (1, true) nor rounding can confuse it. A domain of a single value is no parameter at all.

    Attributes:
        distributions: by path, sorted; Optuna's intervals are closed, so they end just below a domain's open end.
    """

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        self._domains = dict(sorted(domains.items()))
        every = {path: _distribution(domain) for path, domain in self._domains.items()}
        self.distributions = {path: each for path, each in every.items() if not each.single()}
        self._fixed = {path: self._domains[path].at(0.0) for path, each in every.items() if each.single()}

    def encode(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of some or all values, each inside its domain."""
        given = values.keys() & self.distributions.keys()
        return {path: _encode(self._domains[path], values[path]) for path in sorted(given)}

    def decode(self, parameters: Mapping[str, Any]) -> Values:
        """The values of a whole set of parameters, each inside its domain."""
        found = {path: _decode(self._domains[path], parameters[path]) for path in self.distributions}
        return {path: found.get(path, self._fixed.get(path)) for path in self._domains}

    def holds(self, values: Mapping[str, Any]) -> bool:
        """True if `values` has one value for every domain, inside it, and no others."""
        same = values.keys() == self._domains.keys()
        return same and all(domain.holds(values[path]) for path, domain in self._domains.items())


def _distribution(domain: Domain) -> BaseDistribution:
    if domain.is_listed:
        return CategoricalDistribution(tuple(range(len(_distinct(domain)))))
    low, high = domain.arguments[:2]
    if domain.kind in {Kind.RANDINT, Kind.LOGRANDINT}:
        return IntDistribution(low, high - 1, log=domain.kind is Kind.LOGRANDINT)
    if domain.kind is Kind.QUNIFORM:
        return IntDistribution(_encode(domain, domain.nearest(low)), _encode(domain, domain.nearest(high)))
    return FloatDistribution(low, math.nextafter(high, low), log=domain.kind is Kind.LOGUNIFORM)


def _encode(domain: Domain, value: Any) -> Any:
    value = exact(domain, value)
    if domain.is_listed:
        return next(i for i, each in enumerate(_distinct(domain)) if value == each and type(value) is type(each))
    return round(value / domain.arguments[2]) if domain.kind is Kind.QUNIFORM else value


def _decode(domain: Domain, parameter: Any) -> Any:
    if domain.is_listed:
        return _distinct(domain)[int(parameter)]
    return exact(domain, domain.nearest(parameter * domain.arguments[2] if domain.kind is Kind.QUNIFORM else parameter))


def _distinct(domain: Domain) -> list[Any]:
    """The listed values, each once."""
    return list({(type(value), value): value for value in domain.arguments}.values())
