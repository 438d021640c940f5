"""Search domains: what may stand in an experiment file in the place of a value.

    {uniform: [low, high]}        a real number, low <= x < high
    {loguniform: [low, high]}     the same, its logarithm uniform; 0 < low
    {quniform: [low, high, q]}    uniform, rounded to a multiple of q, kept inside [low, high]
    {randint: [low, high]}        an integer, low <= x < high
    {lograndint: [low, high]}     the same, its logarithm uniform; 1 <= low
    {choice: [a, b, ...]}         one of the listed values
    {grid: [a, b, ...]}           every listed value, with `search: {name: grid}`

With `perturb: true` beside it, population based training may change the value while a trial trains.

The names and the half-open intervals are Ray Tune's.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The names of the domains, as the file spells them."""

    UNIFORM = "uniform"
    LOGUNIFORM = "loguniform"
    QUNIFORM = "quniform"
    RANDINT = "randint"
    LOGRANDINT = "lograndint"
    CHOICE = "choice"
    GRID = "grid"


PERTURB = "perturb"
_LISTED = (Kind.CHOICE, Kind.GRID)
_INTEGER = (Kind.RANDINT, Kind.LOGRANDINT)
_LOGARITHMIC = (Kind.LOGUNIFORM, Kind.LOGRANDINT)
_MANY = 64
"""Up to this many whole numbers are checked one by one: 1 to 7 may be a kernel size at both ends and not between."""

_ROUNDING = 1e-9
"""Relative: 0.3 / 0.1 is a little below 3, and 0.4 - 0.3 a little above 0.1."""


class UnknownDomainError(ValueError):
    """A name that is no domain's; `name` is what was written."""

    def __init__(self, name: object) -> None:
        super().__init__(f"unknown domain {name!r}; known: {', '.join(Kind)}")
        self.name = str(name)


@dataclass(frozen=True, slots=True)
class Domain:
    """One search domain; `arguments` are [low, high], [low, high, q] or the listed values."""

    kind: Kind
    arguments: tuple[Any, ...]
    perturb: bool = False
    """Population based training may change the value while a trial trains."""

    @property
    def is_listed(self) -> bool:
        return self.kind in _LISTED

    def edges(self) -> tuple[Any, ...]:
        """The values that have to be valid for all of the domain to be: its ends, or all where they are few."""
        if self.is_listed:
            return self.arguments
        low, high = self.arguments[:2]
        if self.kind in _INTEGER:
            return tuple(range(low, high)) if high - low <= _MANY else (low, low + 1, high - 1)
        if self.kind is Kind.QUNIFORM:
            return (*itertools.islice(self._multiples(), _MANY), self._rounded(high))
        return low, math.nextafter(high, low)

    def sample(self, rng: random.Random) -> Any:
        """One value drawn from the domain."""
        if self.is_listed:
            return rng.choice(self.arguments)
        low, high = self.arguments[:2]
        if self.kind is Kind.RANDINT:
            return rng.randrange(low, high)
        if self.kind in _LOGARITHMIC:
            value = math.exp(rng.uniform(math.log(low), math.log(high)))
            return min(max(int(value), low), high - 1) if self.kind is Kind.LOGRANDINT else _inside(value, low, high)
        value = rng.uniform(low, high)
        return self._rounded(value) if self.kind is Kind.QUNIFORM else _inside(value, low, high)

    def at(self, share: float) -> Any:
        """The value below which `share` of the domain lies, 0 <= share < 1; listed values have equal shares."""
        if self.is_listed:
            return self.arguments[min(int(share * len(self.arguments)), len(self.arguments) - 1)]
        low, high = self.arguments[:2]
        if self.kind in _LOGARITHMIC:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        return self.nearest(value)

    def nearest(self, value: float) -> Any:
        """The number of the domain that is nearest to `value`; numeric domains only."""
        assert not self.is_listed, self.kind
        low, high = self.arguments[:2]
        if self.kind in _INTEGER:
            return min(max(math.floor(value), low), high - 1)
        return self._rounded(value) if self.kind is Kind.QUNIFORM else _inside(value, low, high)

    def holds(self, value: Any) -> bool:
        """True if `value` may be drawn from the domain."""
        if self.is_listed:
            return any(value == each and type(value) is type(each) for each in self.arguments)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return bool(math.isclose(self.nearest(value), value, rel_tol=_ROUNDING))

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {self.kind.value: list(self.arguments), **({PERTURB: True} if self.perturb else {})}

    def _multiples(self) -> Iterator[float]:
        low, high, step = self.arguments
        count = math.floor(high / step + _ROUNDING) - math.ceil(low / step - _ROUNDING) + 1
        return (self._rounded(low + index * step) for index in range(count))

    def _rounded(self, value: float) -> float:
        """The nearest multiple of the step that lies inside; 12 digits, so that 3 times 0.1 is 0.3."""
        low, high, step = self.arguments
        smallest, largest = math.ceil(low / step - _ROUNDING), math.floor(high / step + _ROUNDING)
        return float(f"{min(max(round(value / step), smallest), largest) * step:.12g}")


def _inside(value: float, low: float, high: float) -> float:
    return min(max(value, low), math.nextafter(high, low))


def parse_domain(content: Mapping[str, Any]) -> Domain:
    """`{kind: [arguments]}` as a Domain. Raises ValueError saying which rule is broken."""
    perturb = content.get(PERTURB, False)
    if not isinstance(perturb, bool):
        raise ValueError(f"{PERTURB} must be true or false")
    kinds = [(name, arguments) for name, arguments in content.items() if name != PERTURB]
    if len(kinds) != 1:
        raise ValueError("a domain has one key: " + ", ".join(Kind))
    ((name, arguments),) = kinds
    if name not in list(Kind):
        raise UnknownDomainError(name)
    if not isinstance(arguments, list | tuple):
        raise ValueError(f"{name} needs a list, such as {name}: [1, 2]")
    kind, values = Kind(name), tuple(arguments)
    return Domain(kind, _listed(kind, values) if kind in _LISTED else _bounds(kind, values), perturb)


def _listed(kind: Kind, values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError(f"{kind} of nothing; list at least one value")
    if any(isinstance(value, list | dict) for value in values):
        raise ValueError(f"{kind} takes plain values, not lists or mappings")
    return values


def _bounds(kind: Kind, values: tuple[Any, ...]) -> tuple[Any, ...]:
    count = 3 if kind is Kind.QUNIFORM else 2
    if len(values) != count:
        raise ValueError(f"{kind} takes {count} numbers, got {len(values)}")
    numbers = tuple(_number(kind, value) for value in values)
    low, high = numbers[:2]
    if low >= high:
        raise ValueError(f"low {low:g} must be below high {high:g}")
    if kind in _LOGARITHMIC and low <= 0:
        raise ValueError(f"{kind} needs low > 0, got {low:g}: the logarithm of 0 does not exist")
    if kind is Kind.QUNIFORM and not 0 < numbers[2] <= (high - low) * (1 + _ROUNDING):
        raise ValueError(f"step {numbers[2]:g} must be above 0 and at most high - low")
    return numbers


def _number(kind: Kind, value: Any) -> float | int:
    try:
        number = float(value)  # YAML reads 1e-4, without a point, as a string
    except (TypeError, ValueError):
        raise ValueError(f"{kind} takes numbers, got {value!r}") from None
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"{kind} takes finite numbers, got {value!r}")
    if kind not in _INTEGER:
        return number
    if not number.is_integer():
        raise ValueError(f"{kind} takes whole numbers, got {value!r}")
    return int(number)
