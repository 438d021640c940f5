"""ASHA's rungs, fed by hand."""

import math

import pytest

from raytune_app.tuning.asha import Rungs, rung_epochs


def test_rungs_are_grace_times_powers_of_reduction_below_the_last_epoch() -> None:
    assert rung_epochs(1, 3, 9) == [1, 3]
    assert rung_epochs(1, 3, 10) == [1, 3, 9]
    assert rung_epochs(2, 4, 100) == [2, 8, 32]
    assert rung_epochs(5, 3, 5) == []


def test_no_decision_is_due_between_rungs() -> None:
    rungs = Rungs(grace=2, reduction=3, epochs=9)
    assert rungs.survives(0, 1, 0.5) is None
    assert rungs.survives(0, 2, 0.5) is True


def test_the_best_third_of_nine_known_scores_survives() -> None:
    rungs = Rungs(grace=1, reduction=3, epochs=9)
    for trial in range(8):
        rungs.survives(trial, 1, trial / 10)
    assert rungs.survives(8, 1, 0.55) is True  # third of nine
    assert rungs.survives(9, 1, 0.54) is False  # fifth of ten, three go on


def test_a_falling_sequence_stops_all_but_the_first() -> None:
    rungs = Rungs(grace=1, reduction=2, epochs=8)
    decisions = [rungs.survives(trial, 1, 1 - trial / 100) for trial in range(6)]
    assert decisions == [True, False, False, False, False, False]


def test_a_rising_sequence_stops_none() -> None:
    rungs = Rungs(grace=1, reduction=4, epochs=16)
    assert all(rungs.survives(trial, 1, float(trial)) for trial in range(20))


@pytest.mark.parametrize("reduction", [2, 3, 4])
def test_a_score_that_is_not_a_number_never_survives_and_hides_no_other(reduction: int) -> None:
    rungs = Rungs(grace=1, reduction=reduction, epochs=9)
    assert rungs.survives(0, 1, math.nan) is False
    assert rungs.survives(1, 1, 0.1) is True


def test_each_rung_judges_only_those_who_reached_it() -> None:
    rungs = Rungs(grace=1, reduction=3, epochs=9)
    for trial in range(3):
        rungs.survives(trial, 1, float(trial))
    assert rungs.survives(0, 3, -5.0) is True  # alone at the second rung
