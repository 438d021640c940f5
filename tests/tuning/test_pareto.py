"""The Pareto set, its knee, and the rule by which one of it wins."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.tuning.pareto import hypervolume, knee, pareto_front, pick

coarse = st.integers(-5, 5).map(float)  # ties are frequent
pairs = st.lists(st.tuples(coarse | st.floats(-1e6, 1e6), coarse | st.floats(-1e6, 1e6)), min_size=1, max_size=12)


def _dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]


@given(pairs)
def test_no_member_is_dominated_and_every_other_is_dominated_by_a_member(scores: list[tuple[float, float]]) -> None:
    front = pareto_front(scores)
    assert front
    assert front == sorted(set(front))
    for index, trial in enumerate(scores):
        assert any(_dominates(scores[member], trial) for member in front) == (index not in front)


def test_equal_trials_are_all_in_the_front() -> None:
    assert pareto_front([(1, 2), (0, 0), (1, 2), (2, 1)]) == [0, 2, 3]
    assert pareto_front([]) == []


@given(st.lists(st.tuples(coarse, coarse), min_size=1), st.floats(0.1, 3))
def test_the_front_does_not_depend_on_the_scale_of_an_objective(
    scores: list[tuple[float, float]], power: float
) -> None:
    rescaled = [(math.exp(power * first), second**3 - 7) for first, second in scores]
    assert pareto_front(rescaled) == pareto_front(scores)


@given(pairs, st.none() | st.floats(1e-6, 1e6))
def test_the_winner_is_of_the_front(scores: list[tuple[float, float]], within: float | None) -> None:
    front = pareto_front(scores)
    assert knee(scores) in front
    assert pick(scores, within) in front


@given(st.lists(st.tuples(coarse, coarse), min_size=1), st.integers(1, 9), st.integers(-9, 9))
def test_the_knee_does_not_depend_on_units(scores: list[tuple[float, float]], factor: int, shift: int) -> None:
    assert knee([(first * 2.0**factor + shift, second) for first, second in scores]) == knee(scores)


def test_the_knee_is_nearest_to_the_best_of_both() -> None:
    assert knee([(0, 1000), (0.9, 900), (1, 0)]) == 1
    assert knee([(0, 1), (1, 0)]) == 0
    assert knee([(3, 3)]) == 0


@given(pairs, st.floats(1e-6, 1e6))
def test_nothing_within_reach_is_better_than_the_pick_in_the_second_objective(
    scores: list[tuple[float, float]], within: float
) -> None:
    winner, best = scores[pick(scores, within)], max(first for first, _ in scores)
    assert best - winner[0] <= within * (1 + 1e-6) + 1e-9
    assert all(second <= winner[1] for first, second in scores if best - first <= within)


def test_a_trial_exactly_as_far_off_as_allowed_may_win() -> None:
    assert 0.8 - 0.1 > 0.7  # floating point has it a little too far off
    assert pick([(0.8, -100), (0.7, -10), (0.69, -1)], 0.1) == 1
    assert pick([(0.95, -100), (0.94, -10), (0.94, -10)], 0.01) == 1


@pytest.mark.parametrize(
    ("scores", "area"),
    [([], 0), ([(2, 3)], 6), ([(2, 3), (1, 1), (2, 3)], 6), ([(2, 1), (1, 2)], 3), ([(2, -1), (-1, 2), (0, 5)], 0)],
)
def test_the_hypervolume_is_the_area_above_the_reference(scores: list[tuple[float, float]], area: float) -> None:
    assert hypervolume(scores, (0, 0)) == area


@given(pairs)
def test_only_the_front_has_hypervolume(scores: list[tuple[float, float]]) -> None:
    reference = (-1e6 - 1, -1e6 - 1)
    front = [scores[index] for index in pareto_front(scores)]
    assert math.isclose(hypervolume(scores, reference), hypervolume(front, reference), rel_tol=1e-12)
