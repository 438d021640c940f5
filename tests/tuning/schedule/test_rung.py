"""Rungs: where they lie and how they rank."""

import math

from raytune_app.tuning.schedule.rung import Rung, rung_epochs


def test_rungs_are_grace_times_powers_of_reduction_below_the_last_epoch() -> None:
    assert rung_epochs(1, 3, 9) == [1, 3]
    assert rung_epochs(1, 3, 10) == [1, 3, 9]
    assert rung_epochs(2, 4, 100) == [2, 8, 32]
    assert rung_epochs(5, 3, 5) == []


SCORES = {0: 0.5, 1: math.nan, 2: 0.9, 3: 0.5, 4: -math.inf}


def test_the_best_come_first_equal_ones_by_number_and_those_without_a_number_never() -> None:
    rung = Rung(1)
    for trial, score in reversed(SCORES.items()):
        rung.reach(trial, score)
    assert rung.ranked({4, 3, 2, 1, 0}) == rung.leaders(9) == [2, 0, 3, 4]
    assert rung.leaders(2) == [2, 0]
    assert rung.ranked({3, 1}) == [3]


def test_a_trial_that_comes_again_has_one_place_that_of_its_latest_score() -> None:
    rung = Rung(1)
    for score in (0.9, math.nan, 0.1, 0.3):
        rung.reach(0, score)
        rung.reach(1, 0.2)
    assert rung.leaders(9) == [0, 1]
    assert rung.scores == {0: 0.3, 1: 0.2}
