"""Population based training: new values by chance, near those that were copied or drawn anew.

Source: Jaderberg et al., Population Based Training of Neural Networks, 2017, arXiv:1711.09846, section 3.2.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from raytune_app.spec.domains import Domain, Kind
from raytune_app.tuning.schedule.population import Population, PopulationRules

RESAMPLE = 0.25
FACTORS = (0.8, 1.2)


class Pbt(Population):
    """Perturbs each value by itself, as `perturb` says.

    Args:
        resample: probability that a value is drawn anew.
        factors: what numbers are multiplied by.
    """

    def __init__(
        self, rules: PopulationRules, *, resample: float = RESAMPLE, factors: tuple[float, float] = FACTORS
    ) -> None:
        super().__init__(rules)
        self._resample, self._factors = resample, factors

    def _explore(
        self, values: Mapping[str, Any], epoch: int, beside: Sequence[Mapping[str, Any]], rng: random.Random
    ) -> dict[str, Any]:
        return {
            path: perturb(domain, values[path], rng, self._resample, self._factors)
            for path, domain in self._domains.items()
        }


def perturb(domain: Domain, value: Any, rng: random.Random, resample: float, factors: tuple[float, float]) -> Any:
    """A value of the domain near `value`, or, with probability `resample`, one drawn anew.

    Numbers are multiplied by one of the factors and kept inside; whole numbers and multiples of a step move by at least
    one step, unless they are at that end of the domain. Listed values move to a neighbour in the list, or stay where
    they are at its ends.
    """
    if rng.random() < resample:
        return domain.sample(rng)
    if domain.is_listed:
        return _neighbour(domain, value, rng)
    factor = rng.choice(factors)
    step = {Kind.RANDINT: 1, Kind.LOGRANDINT: 1, Kind.QUNIFORM: domain.arguments[-1]}.get(domain.kind)
    if step is None:
        return domain.nearest(value * factor)
    moved = domain.nearest(round(value * factor / step) * step)
    grows = (factor > 1) == (value >= 0)
    return moved if moved != value or factor == 1 else domain.nearest(value + step if grows else value - step)


def _neighbour(domain: Domain, value: Any, rng: random.Random) -> Any:
    index = next(i for i, each in enumerate(domain.arguments) if each == value and type(each) is type(value))
    moved = index + rng.choice((-1, 1))
    return domain.arguments[min(max(moved, 0), len(domain.arguments) - 1)]
