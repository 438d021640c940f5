"""ASHA's stopping variant, fed by hand."""

import math

import pytest

from raytune_app.tuning.schedule.asha import Asha
from raytune_app.tuning.schedule.base import GO_ON, Verdict


def _goes_on(schedule: Asha, trial: int, epoch: int, score: float) -> bool:
    judgement = schedule.report(trial, epoch, score)
    assert judgement.rung == epoch
    return judgement.verdict is Verdict.CONTINUE


def test_no_decision_is_due_between_rungs() -> None:
    schedule = Asha(grace=2, reduction=3, epochs=9)
    assert schedule.report(0, 1, 0.5) == GO_ON
    assert _goes_on(schedule, 0, 2, 0.5)
    assert schedule.report(0, 9, 0.5) == GO_ON


def test_the_best_third_of_nine_known_scores_survives() -> None:
    schedule = Asha(grace=1, reduction=3, epochs=9)
    for trial in range(8):
        schedule.report(trial, 1, trial / 10)
    assert _goes_on(schedule, 8, 1, 0.55)  # third of nine
    assert not _goes_on(schedule, 9, 1, 0.54)  # fourth of ten, three go on


def test_a_falling_sequence_stops_all_but_the_first() -> None:
    schedule = Asha(grace=1, reduction=2, epochs=8)
    decisions = [_goes_on(schedule, trial, 1, 1 - trial / 100) for trial in range(6)]
    assert decisions == [True, False, False, False, False, False]


def test_a_rising_sequence_stops_none() -> None:
    schedule = Asha(grace=1, reduction=4, epochs=16)
    assert all(_goes_on(schedule, trial, 1, float(trial)) for trial in range(20))


@pytest.mark.parametrize("reduction", [2, 3, 4])
def test_a_score_that_is_not_a_number_never_survives_and_hides_no_other(reduction: int) -> None:
    schedule = Asha(grace=1, reduction=reduction, epochs=9)
    assert not _goes_on(schedule, 0, 1, math.nan)
    assert _goes_on(schedule, 1, 1, 0.1)


def test_each_rung_judges_only_those_who_reached_it() -> None:
    schedule = Asha(grace=1, reduction=3, epochs=9)
    for trial in range(3):
        schedule.report(trial, 1, float(trial))
    assert _goes_on(schedule, 0, 3, -5.0)  # alone at the second rung
