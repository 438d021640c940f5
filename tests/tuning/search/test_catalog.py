"""Laws of every search."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytune_app.spec import Experiment
from raytune_app.tuning.search.base import Ending, Search, Told, Values
from raytune_app.tuning.search.catalog import build_search

Make = Callable[..., Experiment]
SEARCHES = ("random", "quasirandom", "tpe", "gp", "cmaes", "nsga2")


def _sequence(search: Search, trials: int) -> list[Values]:
    """Suggestions, each of which is told a score that follows from its number."""
    suggestions = []
    for number in range(trials):
        suggestions.append(search.suggest(number))
        value = random.Random(number).random()
        search.told(number, Told((value,), {1: value}, Ending.WHOLE))
    return suggestions


@st.composite
def _numeric(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["uniform", "loguniform", "quniform", "randint", "lograndint"]))
    if kind.endswith("int"):
        first = draw(st.integers(1, 100))
        return {kind: [first, first + draw(st.integers(1, 100))]}
    low, width = draw(st.floats(1e-4, 10)), draw(st.floats(1e-3, 10))
    return {kind: [low, low + width, *([width * draw(st.floats(0.05, 1))] if kind == "quniform" else [])]}


_LISTED = st.fixed_dictionaries({"choice": st.lists(st.sampled_from(["a", 1, True, None, 1.0, 0]), min_size=1)})


@settings(max_examples=20)
@given(data=st.data(), name=st.sampled_from(SEARCHES), seed=st.integers(0, 2**31 - 1))
def test_every_suggestion_is_inside_its_domain(
    data: st.DataObject, name: str, seed: int, make_experiment: Make
) -> None:
    kinds = _numeric() if name == "cmaes" else _numeric() | _LISTED
    domains = data.draw(st.dictionaries(st.sampled_from("abcd"), kinds, min_size=1, max_size=3))
    startup = {} if name in ("random", "quasirandom") else {"startup_trials": 2}
    experiment = make_experiment(name, domains, seed=seed, **startup)
    for values in _sequence(build_search(experiment), 3 if name == "gp" else 9):
        assert values.keys() == experiment.domains().keys()
        for path, domain in experiment.domains().items():
            assert domain.holds(values[path])
            assert domain.is_listed or domain.kind == "quniform" or values[path] < domain.arguments[1]


@pytest.mark.parametrize("name", SEARCHES)
def test_the_same_seed_gives_the_same_sequence_whatever_the_order_of_the_file(name: str, make_experiment: Make) -> None:
    startup = {} if name in ("random", "quasirandom") else {"startup_trials": 3}
    experiment = make_experiment(name, seed=5, **startup)
    turned = dict(reversed(experiment.to_dict()["params"].items()))
    first = _sequence(build_search(experiment), 5)
    assert first == _sequence(build_search(make_experiment(name, turned, seed=5, **startup)), 5)
    assert len({repr(values) for values in first}) == 5
    assert first[0] != build_search(make_experiment(name, seed=6, **startup)).suggest(0)
