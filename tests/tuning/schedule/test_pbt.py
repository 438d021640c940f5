"""How PBT changes values."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.spec.domains import Domain, parse_domain
from raytune_app.tuning.schedule.pbt import Pbt, perturb
from raytune_app.tuning.schedule.population import PopulationRules

DOMAINS: list[dict[str, Any]] = [
    {"uniform": [-2.0, 3.0]},
    {"uniform": [0.0, 1e-3]},
    {"loguniform": [1e-5, 1.0]},
    {"quniform": [-0.3, 0.9, 0.1]},
    {"quniform": [1, 10, 2]},
    {"randint": [-5, 6]},
    {"randint": [0, 1]},
    {"lograndint": [1, 500]},
    {"choice": [16, 32, 64, True, "none", None]},
    {"choice": ["alone"]},
]
domains = st.sampled_from(DOMAINS).map(parse_domain)
seeds = st.integers(0, 2**32)
NEVER, ALWAYS = 0.0, 1.0


def _tries(domain: Domain, value: Any, factors: tuple[float, float] = (0.8, 1.2), resample: float = NEVER) -> set[Any]:
    return {perturb(domain, value, random.Random(seed), resample, factors) for seed in range(40)}


@given(domains, seeds, st.floats(0, 1), st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)))
def test_what_comes_out_is_of_the_domain(
    domain: Domain, seed: int, resample: float, factors: tuple[float, float]
) -> None:
    rng = random.Random(seed)
    value = domain.sample(rng)
    for _ in range(5):
        value = perturb(domain, value, rng, resample, factors)
        assert domain.holds(value)


def test_numbers_are_multiplied_by_a_factor_and_kept_inside() -> None:
    domain = parse_domain({"loguniform": [1e-4, 1e-1]})
    assert _tries(domain, 0.01) == {0.01 * 0.8, 0.01 * 1.2}
    assert _tries(domain, 1.1e-4) == {1e-4, 1.1e-4 * 1.2}
    assert all(value < 0.1 for value in _tries(domain, 0.099))


def test_whole_numbers_are_rounded_and_move_by_one_at_least() -> None:
    domain = parse_domain({"randint": [-10, 101]})
    assert _tries(domain, 50) == {40, 60}
    assert _tries(domain, 7) == {6, 8}  # 5.6 and 8.4
    assert _tries(domain, 1) == {0, 2}
    assert _tries(domain, -1) == {-2, 0}
    assert _tries(domain, -1, factors=(1.2, 1.2)) == {-2}
    assert _tries(domain, 0) == {-1, 1}
    assert _tries(domain, 100) == {80, 100}  # at the end


def test_multiples_of_a_step_move_by_a_step_at_least() -> None:
    assert _tries(parse_domain({"quniform": [0, 1, 0.1]}), 0.1) == {0.0, 0.2}
    assert _tries(parse_domain({"quniform": [0, 100, 5]}), 50) == {40, 60}


def test_listed_values_move_to_a_neighbour_and_stay_at_the_ends() -> None:
    domain = parse_domain({"choice": [16, 32, 64]})
    assert _tries(domain, 32) == {16, 64}
    assert _tries(domain, 16) == {16, 32}
    assert _tries(domain, 64) == {32, 64}


def test_a_listed_truth_is_not_taken_for_the_number_one() -> None:
    domain = parse_domain({"choice": [1, "a", "b", "c", True]})
    assert _tries(domain, True) == {"c", True}


@pytest.mark.parametrize("content", [{"uniform": [0, 1]}, {"choice": list(range(100))}, {"randint": [0, 1000]}])
def test_a_value_that_is_drawn_anew_may_lie_anywhere(content: dict[str, Any]) -> None:
    assert len(_tries(parse_domain(content), 0, resample=ALWAYS)) > 25


def test_resample_is_a_probability() -> None:
    domain = parse_domain({"uniform": [0, 1]})
    rng = random.Random(0)
    drawn = sum(perturb(domain, 0.5, rng, 0.25, (0.8, 1.2)) not in (0.4, 0.6) for _ in range(2000))
    assert 420 < drawn < 580


def test_a_population_perturbs_every_domain_and_nothing_else() -> None:
    contents: dict[str, dict[str, Any]] = {
        "train.lr": {"loguniform": [1e-4, 1e-1]},
        "train.batch_size": {"choice": [16, 32]},
    }
    rules = PopulationRules({path: parse_domain(each) for path, each in contents.items()}, 1, 0.5, True, 3, 2, 0)
    schedule = Pbt(rules, resample=NEVER, factors=(0.5, 2.0))
    for trial in range(2):
        schedule.started(trial, {"train.lr": 0.01, "train.batch_size": 16, "model.channels": 8})
        schedule.report(trial, 1, float(trial))
        schedule.paused(trial)
    copy = schedule.resumptions(more=False)[0]
    assert set(copy.values) == {"train.lr", "train.batch_size"}
    assert copy.values["train.lr"] in (0.005, 0.02)
