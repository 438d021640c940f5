"""The median rule, fed by hand."""

import math

from raytune_app.tuning.schedule.base import GO_ON, Judgement, Verdict
from raytune_app.tuning.schedule.median import Median

STOPS = Judgement(Verdict.STOP, rung=2)
SURVIVES = Judgement(Verdict.CONTINUE, rung=2)


def _after(curves: list[list[float]], grace: int = 2, min_trials: int = 3) -> Median:
    schedule = Median(grace, min_trials)
    for trial, curve in enumerate(curves):
        for epoch, score in enumerate(curve, 1):
            schedule.report(trial, epoch, score)
    return schedule


OTHERS = [[0.2, 0.4], [0.4, 0.6], [0.8, 1.0]]
"""Running means of 0.3, 0.5 and 0.9 after two epochs: the median is 0.5, their mean 0.57."""


def test_the_best_so_far_is_held_against_the_median_of_the_running_means() -> None:
    schedule = _after(OTHERS)
    schedule.report(3, 1, 0.45)
    assert schedule.report(3, 2, 0.1) == STOPS
    schedule.report(4, 1, 0.51)  # better than the median before, now worse than everyone
    assert schedule.report(4, 2, 0.1) == SURVIVES


def test_only_strictly_worse_is_worse() -> None:
    schedule = _after([[0.5, 0.5]] * 3)
    schedule.report(3, 1, 0.5)
    assert schedule.report(3, 2, 0.5) == SURVIVES


def test_nothing_is_decided_before_grace_or_before_enough_others_came_as_far() -> None:
    schedule = _after([[0.9], [0.9], [0.9, 0.9], [0.9, 0.9]])
    assert schedule.report(4, 1, 0.1) == GO_ON
    assert schedule.report(4, 2, 0.1) == GO_ON  # two others
    assert schedule.report(0, 2, 0.9) == SURVIVES  # three others


def test_a_trial_is_not_compared_with_itself() -> None:
    schedule = _after([[0.9, 0.9]], min_trials=1)
    schedule.report(1, 1, 0.1)
    assert schedule.report(1, 2, 0.1) == STOPS
    assert schedule.report(0, 2, 0.9) == SURVIVES


def test_a_score_that_is_not_a_number_ends_the_trial_and_is_the_worst_for_the_others() -> None:
    schedule = _after([[0.3, 0.3], [0.9, math.nan], [0.5, 0.5]])
    assert schedule.report(3, 2, 0.25) == STOPS  # the median of -inf, 0.3 and 0.5 is 0.3
    assert schedule.report(4, 2, math.nan) == STOPS
    assert Median(2, 3).report(0, 2, math.nan) == STOPS


def test_those_who_ended_are_still_compared_with() -> None:
    schedule = _after(OTHERS)
    for trial in range(3):
        schedule.ended(trial)
    assert schedule.report(3, 2, 0.4) == STOPS
