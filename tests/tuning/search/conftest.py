"""Experiments that search any domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from raytune_app.spec import Experiment, parse

NUMBERS = {
    "lr": {"loguniform": [1e-4, 1e-1]},
    "momentum": {"uniform": [0, 0.99]},
    "width": {"lograndint": [1, 65]},
    "drop": {"quniform": [0, 0.5, 0.1]},
    "depth": {"randint": [3, 4]},
}
LISTED = {"kind": {"choice": ["a", 1, True, None, 1.5]}, "layers": {"randint": [1, 4]}}


@pytest.fixture(scope="session")
def make_experiment() -> Callable[..., Experiment]:
    """`make_experiment("tpe", domains, seed=1, objectives=2, startup_trials=3)`; without domains, some of each kind."""

    def make(
        name: str, domains: Mapping[str, Any] | None = None, *, seed: int = 0, objectives: int = 1, **search: Any
    ) -> Experiment:
        every = NUMBERS if name == "cmaes" else NUMBERS | LISTED
        return parse(
            {
                "name": "searched",
                "seed": seed,
                "data": {"name": "mnist"},
                "trial": "somewhere:train",
                "params": every if domains is None else dict(domains),
                "objective": [{"metric": f"score_{index}"} for index in range(objectives)],
                "search": {"name": name, **search},
            }
        )

    return make
