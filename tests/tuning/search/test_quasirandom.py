"""Sobol points cover the domains evenly, and depend on the seed and the number alone."""

import itertools
from collections import Counter
from collections.abc import Callable

import pytest

from raytune_app.spec import Experiment
from raytune_app.tuning.search.quasirandom import QuasirandomSearch

Make = Callable[..., Experiment]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("power", [0, 1, 5])
def test_two_to_the_k_points_fill_two_to_the_k_equal_boxes(power: int, seed: int, make_experiment: Make) -> None:
    count = 2**power
    domains = {"a": {"randint": [0, count]}, "b": {"choice": list(range(count))}}
    search = QuasirandomSearch(make_experiment("quasirandom", domains if power else {"a": domains["a"]}, seed=seed))
    points = [search.suggest(number) for number in range(count)]
    for path in points[0]:
        assert sorted(point[path] for point in points) == list(range(count))


def test_sixteen_points_fill_the_sixteen_boxes_of_a_square(make_experiment: Make) -> None:
    search = QuasirandomSearch(make_experiment("quasirandom", {"a": {"randint": [0, 4]}, "b": {"randint": [0, 4]}}))
    boxes = Counter(tuple(search.suggest(number).values()) for number in range(16))
    assert boxes == Counter(itertools.product(range(4), repeat=2))


def test_a_point_does_not_depend_on_those_before(make_experiment: Make) -> None:
    experiment = make_experiment("quasirandom")
    search = QuasirandomSearch(experiment)
    forwards = [search.suggest(number) for number in range(20)]
    assert forwards == [QuasirandomSearch(experiment).suggest(number) for number in reversed(range(20))][::-1]
    assert forwards[0] != QuasirandomSearch(make_experiment("quasirandom", seed=1)).suggest(0)


def test_the_sequence_can_start_far_on(make_experiment: Make) -> None:
    assert QuasirandomSearch(make_experiment("quasirandom")).suggest(999_999)
