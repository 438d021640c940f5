"""A domain yields only values that the file's author allowed."""

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.spec.domains import Domain, Kind, parse_domain

finite = st.floats(-1e6, 1e6)
positive = st.floats(1e-9, 1e6)
seeds = st.integers(0, 2**32)


def _draws(domain: Domain, seed: int, count: int = 20) -> list[Any]:
    rng = random.Random(seed)
    return [domain.sample(rng) for _ in range(count)]


@given(finite, positive, seeds)
def test_uniform_stays_in_its_half_open_interval(low: float, width: float, seed: int) -> None:
    domain = parse_domain({"uniform": [low, low + width + 1e-6]})
    assert all(low <= value < domain.arguments[1] for value in _draws(domain, seed))


@given(positive, st.floats(1.0001, 1e6), seeds)
def test_loguniform_stays_in_its_half_open_interval(low: float, factor: float, seed: int) -> None:
    domain = parse_domain({"loguniform": [low, low * factor]})
    assert all(low <= value < low * factor for value in _draws(domain, seed))


@given(st.integers(1, 10**6), st.integers(1, 10**6), seeds, st.sampled_from(["randint", "lograndint"]))
def test_integers_stay_in_their_half_open_interval(low: int, width: int, seed: int, kind: str) -> None:
    draws = _draws(parse_domain({kind: [low, low + width]}), seed)
    assert all(isinstance(value, int) and low <= value < low + width for value in draws)


@given(st.integers(-1000, 1000), st.integers(1, 1000), st.sampled_from([0.001, 0.1, 0.25, 1, 3, 8]), seeds)
def test_quniform_gives_multiples_of_its_step_inside_the_closed_interval(
    start: int, steps: int, step: float, seed: int
) -> None:
    low, high = start * step, (start + steps) * step
    for value in _draws(parse_domain({"quniform": [low, high, step]}), seed):
        assert low - 1e-9 <= value <= high + 1e-9
        assert math.isclose(value / step, round(value / step), abs_tol=1e-6)


@given(st.floats(-50, 50), st.floats(0.5, 50), st.floats(0.01, 0.5), seeds)
def test_quniform_stays_inside_bounds_that_are_no_multiples(low: float, width: float, step: float, seed: int) -> None:
    draws = _draws(parse_domain({"quniform": [low, low + width, step]}), seed)
    assert all(low - 1e-6 <= value <= low + width + 1e-6 for value in draws)


def test_quniform_prints_as_people_write() -> None:
    domain = parse_domain({"quniform": [0.1, 0.9, 0.1]})
    values = {str(value) for value in _draws(domain, 0) + _draws(domain, 1)}
    assert values <= {f"0.{digit}" for digit in range(1, 10)}
    assert len(values) > 5


def test_a_single_step_that_floating_point_makes_too_large_is_allowed() -> None:
    assert set(_draws(parse_domain({"quniform": [0.3, 0.4, 0.1]}), 0)) == {0.3, 0.4}


def test_every_end_can_be_drawn() -> None:
    assert set(_draws(parse_domain({"randint": [1, 4]}), 0, 200)) == {1, 2, 3}
    assert set(_draws(parse_domain({"quniform": [2, 6, 2]}), 0, 200)) == {2, 4, 6}


def test_lograndint_prefers_small_numbers() -> None:
    rng, domain = random.Random(0), parse_domain({"lograndint": [1, 1000]})
    below_32 = sum(domain.sample(rng) < 32 for _ in range(2000))
    assert 0.45 < below_32 / 2000 < 0.55  # half of the logarithms


@given(st.lists(st.one_of(st.integers(), st.text(), st.booleans(), st.none()), min_size=1), seeds)
def test_choice_gives_what_is_listed(listed: list[Any], seed: int) -> None:
    assert all(value in listed for value in _draws(parse_domain({"choice": listed}), seed))


@given(st.sampled_from([kind for kind in Kind if kind not in (Kind.CHOICE, Kind.GRID)]), positive, seeds)
def test_edges_bracket_every_draw(kind: Kind, low: float, seed: int) -> None:
    whole = math.ceil(low)
    arguments = {Kind.QUNIFORM: [low, low + 9, 0.5]}.get(kind, [whole, whole + 200])
    domain = parse_domain({kind.value: arguments})
    edges = domain.edges()
    assert all(min(edges) <= value <= max(edges) for value in _draws(domain, seed))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ({"uniform": [1, 1]}, "low 1 must be below high 1"),
        ({"uniform": [2, 1]}, "low 2 must be below high 1"),
        ({"uniform": [1]}, "takes 2 numbers, got 1"),
        ({"uniform": 3}, "needs a list"),
        ({"uniform": [True, 2]}, "finite numbers"),
        ({"uniform": [0, math.inf]}, "finite numbers"),
        ({"uniform": [0, math.nan]}, "finite numbers"),
        ({"uniform": ["a", 1]}, "takes numbers, got 'a'"),
        ({"uniform": [None, 1]}, "takes numbers, got None"),
        ({"loguniform": [0, 1]}, "the logarithm of 0 does not exist"),
        ({"loguniform": [-1, 1]}, "needs low > 0"),
        ({"lograndint": [0, 5]}, "needs low > 0"),
        ({"randint": [1.5, 3]}, "whole numbers"),
        ({"quniform": [0, 1, 0]}, "step 0 must be above 0"),
        ({"quniform": [0, 1, 2]}, "at most high - low"),
        ({"quniform": [0, 1]}, "takes 3 numbers"),
        ({"choice": []}, "choice of nothing"),
        ({"grid": []}, "grid of nothing"),
        ({"choice": [[1], 2]}, "plain values"),
        ({"normal": [0, 1]}, "unknown domain 'normal'"),
        ({"uniform": [0, 1], "choice": [1]}, "one key"),
        ({}, "one key"),
    ],
)
def test_an_impossible_domain_is_refused_with_its_rule(content: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        parse_domain(content)


def test_numbers_that_yaml_reads_as_text_count_as_numbers() -> None:
    assert parse_domain({"loguniform": ["1e-4", "1e-1"]}).arguments == (1e-4, 1e-1)
