"""Population based bandits: new values by a Gaussian process over what values gained so far.

Source: Parker-Holder et al., Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits,
NeurIPS 2020, arXiv:2002.02518.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raytune_app.spec.domains import Domain, Kind
from raytune_app.tuning.schedule.bandit import Floats, next_point
from raytune_app.tuning.schedule.pbt import FACTORS, RESAMPLE, perturb
from raytune_app.tuning.schedule.population import Population

MIN_STRETCHES = 4
"""With fewer known gains than this, values are perturbed as PBT does by default."""

MAX_STRETCHES = 100
"""Older gains are left out: they say little of now, and the work grows with the cube of their number."""


class Pb2(Population):
    """Picks the values, all at once, that promise the highest gain of score per epoch until the next perturbation."""

    def _explore(
        self, values: Mapping[str, Any], epoch: int, beside: Sequence[Mapping[str, Any]], rng: random.Random
    ) -> dict[str, Any]:
        """Deterministic: the candidates among which the bandit picks are drawn with `rng`."""
        known = self._stretches[-MAX_STRETCHES:]
        if len(known) < MIN_STRETCHES:
            return {
                path: perturb(domain, values[path], rng, RESAMPLE, FACTORS) for path, domain in self._domains.items()
            }
        point = next_point(
            self._shares([stretch.values for stretch in known]),
            np.array([stretch.epoch / self._rules.interval for stretch in known]),
            np.array([stretch.gain for stretch in known]),
            self._shares(beside),
            epoch / self._rules.interval + 1,
            np.random.default_rng(rng.getrandbits(64)),
        )
        return {
            path: domain.at(float(share)) for (path, domain), share in zip(self._domains.items(), point, strict=True)
        }

    def _shares(self, configurations: Sequence[Mapping[str, Any]]) -> Floats:
        rows = [[share(domain, values[path]) for path, domain in self._domains.items()] for values in configurations]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self._domains))


def share(domain: Domain, value: float) -> float:
    """How much of a numeric domain lies below `value`, in [0, 1]; of its logarithm, where that is uniform."""
    assert not domain.is_listed, domain.kind
    low, high = domain.arguments[:2]
    if domain.kind in (Kind.LOGUNIFORM, Kind.LOGRANDINT):
        low, high, value = math.log(low), math.log(high), math.log(value)
    return float((value - low) / (high - low))
