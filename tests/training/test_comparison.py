from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from raytune_app.training.comparison import mcnemar

Rights = NDArray[np.bool_]


def rights(only_a: int, only_b: int, both: int = 5, none: int = 5) -> tuple[Rights, Rights]:
    counts = [only_a, only_b, both, none]
    return np.repeat([True, False, True, False], counts), np.repeat([False, True, True, False], counts)


@pytest.mark.parametrize(
    ("only_a", "only_b", "statistic", "p_value"),
    [
        (121, 59, 20.6722, 4.43444926e-06),  # the example of statsmodels' `mcnemar`
        (59, 121, 20.6722, 4.43444926e-06),
        (10, 0, 8.1, 2 / 2**10),
        (9, 1, 4.9, 2 * 11 / 2**10),
        (3, 3, 0.0, 1.0),
        (0, 0, 0.0, 1.0),
        (1, 0, 0.0, 1.0),
    ],
)
def test_the_test_gives_the_known_values(only_a: int, only_b: int, statistic: float, p_value: float) -> None:
    found = mcnemar(*rights(only_a, only_b))
    assert (found.only_a, found.only_b) == (only_a, only_b)
    assert found.statistic == pytest.approx(statistic, abs=1e-3)
    assert found.p_value == pytest.approx(p_value, rel=1e-6)


def test_pictures_on_which_both_agree_do_not_count() -> None:
    assert mcnemar(*rights(9, 2, both=0, none=0)) == mcnemar(*rights(9, 2, both=900, none=40))


def test_equal_classifiers_are_told_apart_at_most_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    found = [mcnemar(rng.random(200) < 0.9, rng.random(200) < 0.9).p_value for _ in range(400)]
    assert np.mean(np.array(found) < 0.05) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
