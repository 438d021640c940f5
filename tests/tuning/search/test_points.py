"""What a person wants tried first is tried first, completed by the search."""

import statistics
from collections.abc import Callable
from typing import Any

import pytest

from raytune_app.spec import Experiment
from raytune_app.spec.domains import parse_domain
from raytune_app.tuning.search.base import Ending, Told
from raytune_app.tuning.search.catalog import build_search
from raytune_app.tuning.search.model_based import ModelBased
from raytune_app.tuning.search.points import exact

Make = Callable[..., Experiment]
POINTS: tuple[dict[str, Any], ...] = ({"params.lr": 0.05, "params.width": 64}, {"params.momentum": 0})
LEARNING = ("tpe", "gp", "cmaes", "nsga2")


@pytest.mark.parametrize("name", ["random", "quasirandom", *LEARNING])
def test_points_come_first_and_are_complete(name: str, make_experiment: Make) -> None:
    experiment = make_experiment(name, points=POINTS)
    search, plain = build_search(experiment), build_search(make_experiment(name))
    for number, point in enumerate((*POINTS, {})):
        values = search.suggest(number)
        assert {path: values[path] for path in point} == point
        assert values.keys() == experiment.domains().keys()
        assert {**values, **point} == {**plain.suggest(number), **point}


@pytest.mark.parametrize("name", LEARNING)
def test_a_model_knows_the_points_own_values(name: str, make_experiment: Make) -> None:
    search = ModelBased(make_experiment(name, points=POINTS))
    search.suggest(0)
    (trial,) = search._memory.trials()
    assert {path: trial.params[path] for path in POINTS[0]} == POINTS[0]


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_a_model_goes_where_points_were_good(name: str, make_experiment: Make) -> None:
    points = [{"params.x": 0.9 + index / 1000} for index in range(8)] + [{"params.x": 0.1} for _ in range(8)]
    search = build_search(make_experiment(name, {"x": {"uniform": [0, 1]}}, points=points, startup_trials=16))
    for number, point in enumerate(points):
        assert search.suggest(number) == point
        search.told(number, Told((point["params.x"],), {1: point["params.x"]}, Ending.WHOLE))
    assert statistics.median(search.suggest(number)["params.x"] for number in range(16, 24)) > 0.7


@pytest.mark.parametrize(
    ("domain", "given", "value"),
    [
        ({"randint": [1, 9]}, 5.0, 5),
        ({"uniform": [0, 9]}, 5, 5.0),
        ({"choice": [True, 1]}, 1, 1),
        ({"quniform": [0, 1, 0.1]}, 0.30000000000000004, 0.3),
    ],
)
def test_a_point_has_its_domains_type(domain: dict[str, Any], given: Any, value: Any) -> None:
    found = exact(parse_domain(domain), given)
    assert (found, type(found)) == (value, type(value))
