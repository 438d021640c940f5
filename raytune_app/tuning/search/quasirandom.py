"""Scrambled Sobol points: configurations that cover the domains more evenly than random ones."""

from __future__ import annotations

import torch

from raytune_app.spec.grammar import Experiment
from raytune_app.tuning.search.base import Search, Values


class QuasirandomSearch(Search):
    """Point n of a Sobol sequence scrambled by the experiment's seed (Owen 1998; Joe and Kuo 2008).

    The point depends on the seed, the set of domains and n alone. Its coordinates belong to the domains in the order of
    their paths, so the order of the file changes nothing.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._seed = experiment.seed
        self._domains = dict(sorted(experiment.domains().items()))

    def suggest(self, number: int) -> Values:
        shares = self._point(number) if self._domains else []
        return {path: domain.at(share) for (path, domain), share in zip(self._domains.items(), shares, strict=True)}

    def _point(self, number: int) -> list[float]:
        """Coordinates in [0, 1), one a domain."""
        engine = torch.quasirandom.SobolEngine(len(self._domains), scramble=True, seed=self._seed)  # type: ignore[no-untyped-call]
        if number:
            engine.fast_forward(number)  # type: ignore[no-untyped-call]
        point: list[float] = engine.draw(1, dtype=torch.float64)[0].tolist()
        return point
