"""Search domains: what may stand in an experiment file in the place of a value.

    {uniform: [low, high]}        a real number, low <= x < high
    {loguniform: [low, high]}     the same, its logarithm uniform; 0 < low
    {quniform: [low, high, q]}    uniform, rounded to a multiple of q, kept inside [low, high]
    {randint: [low, high]}        an integer, low <= x < high
    {lograndint: [low, high]}     the same, its logarithm uniform; 1 <= low
    {choice: [a, b, ...]}         one of the listed values
    {grid: [a, b, ...]}           every listed value, with `search: {name: grid}`

The names and the half-open intervals are Ray Tune's.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    UNIFORM = "uniform"
    LOGUNIFORM = "loguniform"
    QUNIFORM = "quniform"
    RANDINT = "randint"
    LOGRANDINT = "lograndint"
    CHOICE = "choice"
    GRID = "grid"


_LISTED = (Kind.CHOICE, Kind.GRID)
_INTEGER = (Kind.RANDINT, Kind.LOGRANDINT)
_LOGARITHMIC = (Kind.LOGUNIFORM, Kind.LOGRANDINT)


@dataclass(frozen=True, slots=True)
class Domain:
    """One search domain; `arguments` are [low, high], [low, high, q] or the listed values."""

    kind: Kind
    arguments: tuple[Any, ...]

    @property
    def is_listed(self) -> bool:
        return self.kind in _LISTED

    def edges(self) -> tuple[Any, ...]:
        """The values that have to be valid for all of the domain to be: its ends, or all that are listed."""
        if self.is_listed:
            return self.arguments
        low, high = self.arguments[:2]
        if self.kind in _INTEGER:
            return low, high - 1
        return low, high if self.kind is Kind.QUNIFORM else math.nextafter(high, low)

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

    def to_dict(self) -> dict[str, list[Any]]:
        """As it stands in the file."""
        return {self.kind.value: list(self.arguments)}

    def _rounded(self, value: float) -> float:
        low, high, step = self.arguments
        smallest, largest = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return float(f"{min(max(round(value / step), smallest), largest) * step:.12g}")


def _inside(value: float, low: float, high: float) -> float:
    return min(max(value, low), math.nextafter(high, low))


def parse_domain(content: Mapping[str, Any]) -> Domain:
    """`{kind: [arguments]}` as a Domain. Raises ValueError saying which rule is broken."""
    if len(content) != 1:
        raise ValueError("a domain has one key: " + ", ".join(Kind))
    (name, arguments), *_ = content.items()
    if name not in list(Kind):
        raise ValueError(f"unknown domain {name!r}; known: {', '.join(Kind)}")
    if not isinstance(arguments, list | tuple):
        raise ValueError(f"{name} needs a list, such as {name}: [1, 2]")
    kind = Kind(name)
    values = tuple(arguments)
    return Domain(kind, values if kind in _LISTED else _bounds(kind, values)) if _checked(kind, values) else Domain(kind, values)


def _checked(kind: Kind, values: tuple[Any, ...]) -> bool:
    if kind in _LISTED and not values:
        raise ValueError(f"{kind} of nothing; list at least one value")
    if kind in _LISTED and any(isinstance(value, list | dict) for value in values):
        raise ValueError(f"{kind} takes plain values, not lists or mappings")
    return True


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
    if kind is Kind.QUNIFORM and not 0 < numbers[2] <= high - low:
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
