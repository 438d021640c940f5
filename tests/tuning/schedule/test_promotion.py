"""ASHA with promotions, fed by hand."""

import math
from collections.abc import Callable

from raytune_app.tuning.schedule.base import Judgement, Resumption, Verdict
from raytune_app.tuning.schedule.promotion import AshaPromotion

Train = Callable[..., None]
Resume = Callable[..., Resumption]


def _offered(schedule: AshaPromotion, *, more: bool = True) -> list[int]:
    return [each.trial for each in schedule.resumptions(more=more)]


def _with(scores: list[float], train: Train, *, epochs: int = 9) -> AshaPromotion:
    """Trials 0, 1, ... that all wait at the first rung with these scores."""
    schedule = AshaPromotion(1, 3, epochs)
    for trial, score in enumerate(scores):
        schedule.started(trial, {})
        train(schedule, trial, {1: score})
    return schedule


def test_a_trial_pauses_at_every_rung_and_nowhere_else() -> None:
    schedule = AshaPromotion(1, 3, 9)
    schedule.started(0, {})
    assert [schedule.report(0, epoch, 0.5).verdict is Verdict.PAUSE for epoch in range(1, 10)] == [
        epoch in (1, 3) for epoch in range(1, 10)
    ]


def test_the_best_third_of_a_rung_is_promotable_best_first(train: Train) -> None:
    assert _offered(_with([0.1, 0.5], train)) == []
    assert _offered(_with([0.1, 0.5, 0.3], train)) == [1]
    assert _offered(_with([0.1, 0.5, 0.3, 0.9, 0.2, 0.0], train)) == [3, 1]


def test_who_was_promoted_is_not_promoted_again_but_keeps_its_place(train: Train, resume: Resume) -> None:
    schedule = _with([0.1, 0.5, 0.3, 0.2], train)
    assert resume(schedule) == Resumption(1, 1, "promoted")
    assert _offered(schedule) == []  # one place in four, and it is taken
    for trial in (4, 5):
        schedule.started(trial, {})
        train(schedule, trial, {1: 0.0})
    assert _offered(schedule) == [2]  # two places in six


def test_the_highest_rung_comes_first(train: Train, resume: Resume) -> None:
    schedule = _with([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.95, 0.0, 0.0], train)
    for _ in range(3):
        trial = resume(schedule).trial
        train(schedule, trial, {2: 0.0, 3: trial / 10})
    assert _offered(schedule) == [9, 2]  # 9, 0, 1 reached epoch 3 and 9 leads there; 2 is fourth of twelve at epoch 1


def test_a_trial_is_promotable_only_when_its_state_is_safe(train: Train) -> None:
    schedule = _with([0.1, 0.2], train)
    schedule.started(2, {})
    schedule.report(2, 1, 0.9)
    assert _offered(schedule) == []
    schedule.paused(2)
    assert _offered(schedule) == [2]


def test_a_score_that_is_not_a_number_counts_among_the_n_and_is_never_promoted(train: Train) -> None:
    assert _offered(_with([math.nan, math.nan, 0.1], train)) == [2]
    assert _offered(_with([math.nan] * 6, train), more=False) == []


def test_a_trial_that_ended_keeps_its_place_and_is_never_promoted(train: Train) -> None:
    schedule = _with([0.9, 0.5, 0.3], train)
    schedule.ended(0)
    assert _offered(schedule) == []
    assert _offered(schedule, more=False) == [1]  # or the study would end without a whole trial


def test_few_trials_still_give_one_that_is_trained_to_its_end(train: Train, resume: Resume) -> None:
    schedule = _with([0.1, 0.5], train)
    assert _offered(schedule, more=True) == []
    assert resume(schedule, more=False).trial == 1
    assert _offered(schedule, more=False) == []  # while it trains
    train(schedule, 1, {2: 0.5, 3: 0.5})
    assert resume(schedule, more=False).trial == 1
    train(schedule, 1, dict.fromkeys(range(4, 10), 0.5))
    schedule.ended(1)
    assert _offered(schedule, more=False) == []


def test_when_the_one_that_was_to_be_whole_fails_the_next_best_takes_its_place(train: Train, resume: Resume) -> None:
    schedule = _with([0.1, 0.5], train)
    resume(schedule, more=False)
    schedule.ended(1)
    assert _offered(schedule, more=False) == [0]


def test_a_promoted_trial_that_loses_an_epoch_and_trains_it_again_does_not_pause_again(
    train: Train, resume: Resume
) -> None:
    schedule = _with([0.1, 0.5, 0.3], train)
    resume(schedule)
    assert schedule.report(1, 1, 0.4) == Judgement(Verdict.CONTINUE, rung=1)


def test_81_trials_in_any_order_use_what_the_paper_counts(train: Train, resume: Resume) -> None:
    """Reduction 3 and 27 epochs: 27 of 81 reach epoch 3, 9 reach epoch 9, 3 are whole."""
    schedule = _with([trial * 37 % 81 / 81 for trial in range(81)], train, epochs=27)
    reached = {3: 0, 9: 0, 27: 0}
    at: dict[int, int] = {}
    while schedule.resumptions(more=False):
        trial = resume(schedule, more=False).trial
        at[trial] = 3 * at.get(trial, 1)
        reached[at[trial]] += 1
        train(schedule, trial, {at[trial]: trial * 37 % 81 / 81})
        if at[trial] == 27:
            schedule.ended(trial)
    assert reached == {3: 27, 9: 9, 27: 3}
    assert sorted(trial * 37 % 81 for trial, epoch in at.items() if epoch == 27) == [78, 79, 80]
