"""Hyperband's brackets, fed by hand."""

import itertools
import math
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from raytune_app.tuning.schedule.base import Judgement, Resumption, Verdict
from raytune_app.tuning.schedule.hyperband import Hyperband, bracket_sizes
from raytune_app.tuning.schedule.rung import rung_epochs

Train = Callable[..., None]
Resume = Callable[..., Resumption]
ROUND = 9 + 5 + 3
"""Trials of one round with epochs 9, grace 1, reduction 3."""


def _started(trials: int, planned: int = ROUND) -> Hyperband:
    schedule = Hyperband(1, 3, 9, planned)
    for trial in range(trials):
        schedule.started(trial, {})
    return schedule


def _offered(schedule: Hyperband, *, more: bool = True) -> list[int]:
    return [each.trial for each in schedule.resumptions(more=more)]


def test_81_epochs_and_reduction_3_give_the_papers_brackets() -> None:
    assert bracket_sizes(4, 3, 81 + 34 + 15 + 8 + 5) == [81, 34, 15, 8, 5]


def test_twice_the_trials_are_two_rounds_and_half_of_them_are_half_as_large_brackets() -> None:
    assert bracket_sizes(2, 3, 2 * ROUND) == [9, 5, 3, 9, 5, 3]
    assert bracket_sizes(4, 3, 72) == [41, 17, 8, 4, 2]
    assert bracket_sizes(2, 3, 1) == [1, 0, 0]


@given(st.integers(0, 5), st.integers(2, 5), st.integers(1, 2000))
def test_every_trial_has_a_place_and_larger_s_never_means_fewer(s_max: int, reduction: int, trials: int) -> None:
    sizes = bracket_sizes(s_max, reduction, trials)
    assert sum(sizes) == trials
    assert len(sizes) % (s_max + 1) == 0
    first = sizes[: s_max + 1]
    assert all(few >= fewer - 1 for few, fewer in itertools.pairwise(first))


def test_trials_fill_the_brackets_in_the_order_of_their_start() -> None:
    schedule = _started(ROUND)
    paused = [
        [epoch for epoch in range(1, 10) if schedule.report(trial, epoch, 0.5).verdict is Verdict.PAUSE]
        for trial in (0, 8, 9, 13, 14, 16)
    ]
    assert paused == [[1, 3], [1, 3], [3], [3], [], []]


def test_a_trial_goes_on_as_soon_as_nobody_can_take_its_place(train: Train) -> None:
    schedule = _started(9)
    for trial in range(6):
        train(schedule, trial, {1: trial / 10})
    assert _offered(schedule) == _offered(schedule, more=False) == []  # three may come, and be better
    train(schedule, 6, {1: 0.6})
    assert _offered(schedule) == [6]
    train(schedule, 7, {1: 0.7})
    assert _offered(schedule) == [7, 6]
    schedule.report(8, 1, 0.75)
    assert _offered(schedule) == [7, 6]  # the third place is for a trial whose state is not safe yet
    schedule.paused(8)
    assert _offered(schedule) == [8, 7, 6]


@given(st.data(), st.integers(1, 40), st.integers(2, 4))
def test_who_goes_on_does_not_depend_on_who_comes_first(data: st.DataObject, trials: int, reduction: int) -> None:
    """Free slots take whoever is offered, in any order: each rung ends as if it had waited for everyone."""
    schedule = Hyperband(1, reduction, 9, trials, brackets=1)
    rungs = rung_epochs(1, reduction, 9)
    scores = {
        place: data.draw(st.permutations(range(trials)), label=f"rung {rung}") for place, rung in enumerate(rungs)
    }
    at = dict.fromkeys(range(trials), 0)
    came: dict[int, set[int]] = {0: set(range(trials)), **{place: set() for place in range(1, len(rungs) + 1)}}
    for trial in at:
        schedule.started(trial, {})
    training = set(at)
    while training:
        trial = data.draw(st.sampled_from(sorted(training)))
        training.remove(trial)
        if at[trial] < len(rungs):
            schedule.report(trial, rungs[at[trial]], float(scores[at[trial]][trial]))
            schedule.paused(trial)
        else:
            schedule.ended(trial)
        for resumption in schedule.resumptions(more=False):
            schedule.resumed(resumption)
            at[resumption.trial] += 1
            came[at[resumption.trial]].add(resumption.trial)
            training.add(resumption.trial)
    for place in range(len(rungs)):
        best = sorted(came[place], key=lambda trial: -scores[place][trial])
        assert came[place + 1] == set(best[: max(1, len(best) // reduction)])


def test_the_next_rung_waits_for_all_that_were_promoted(train: Train, resume: Resume) -> None:
    schedule = _started(9)
    for trial in range(9):
        train(schedule, trial, {1: trial / 10})
    first, second = resume(schedule).trial, resume(schedule).trial
    train(schedule, first, {2: 0.0, 3: 0.1})
    train(schedule, second, {2: 0.0, 3: 0.9})
    assert (first, second, *_offered(schedule)) == (8, 7, 6)
    third = resume(schedule).trial
    assert _offered(schedule) == []
    train(schedule, third, {2: 0.0, 3: 0.5})
    assert _offered(schedule) == [7]
    resume(schedule)
    assert _offered(schedule, more=False) == []


def test_a_bracket_that_can_still_be_filled_waits_and_one_that_cannot_is_judged_as_it_is(train: Train) -> None:
    schedule = _started(4)
    for trial in range(4):
        train(schedule, trial, {1: trial / 10})
    assert _offered(schedule, more=True) == []
    assert _offered(schedule, more=False) == [3]


@given(st.data(), st.integers(1, 30), st.integers(2, 4))
def test_nobody_goes_on_who_would_not_have_after_waiting_for_all(
    data: st.DataObject, trials: int, reduction: int
) -> None:
    """Trials start late, end, or score no number: whoever went on is among the first rung's best, as it turns out."""
    schedule = Hyperband(1, reduction, 9, trials, brackets=1)
    score_of = data.draw(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, math.nan]), min_size=trials, max_size=trials))
    started: list[int] = []
    training: set[int] = set()
    went_on: list[int] = []
    scored: dict[int, float] = {}
    while len(started) < trials or training:
        if len(started) < trials and (not training or data.draw(st.booleans(), label="start one")):
            schedule.started(len(started), {})
            training.add(len(started))
            started.append(len(started))
        else:
            trial = data.draw(st.sampled_from(sorted(training)))
            training.remove(trial)
            if data.draw(st.integers(0, 4), label="0 fails") == 0:
                schedule.ended(trial)
            else:
                schedule.report(trial, 1, score_of[trial])
                schedule.paused(trial)
                scored[trial] = score_of[trial]
        for resumption in schedule.resumptions(more=len(started) < trials):
            schedule.resumed(resumption)
            went_on.append(resumption.trial)
    finite = sorted((score for score in scored.values() if not math.isnan(score)), reverse=True)
    places = min(max(1, len(scored) // reduction), len(finite))
    assert len(went_on) == places
    assert sorted((scored[trial] for trial in went_on), reverse=True) == finite[:places]


def test_a_trial_that_ended_is_not_waited_for_and_frees_its_place_at_the_rung(train: Train, resume: Resume) -> None:
    schedule = _started(9)
    for trial in range(6):
        train(schedule, trial, {1: trial / 10})
    offered = []
    for trial in (6, 7, 8):
        offered.append(_offered(schedule))
        schedule.ended(trial)
    assert offered == [[], [], [5]]
    assert _offered(schedule) == [5, 4]  # two places among six
    schedule.ended(4)
    assert _offered(schedule) == [5, 3]


def test_one_bracket_is_successive_halving() -> None:
    assert bracket_sizes(2, 3, 24, brackets=1) == [24]
    assert bracket_sizes(2, 3, ROUND, brackets=2) == [11, 6]


def test_brackets_are_judged_each_by_itself_and_the_furthest_go_first(train: Train) -> None:
    schedule = _started(14)
    for trial in range(9):
        train(schedule, trial, {1: trial / 10})
    for trial in range(9, 14):
        train(schedule, trial, {1: 0.0, 2: 0.0, 3: trial / 100})
    assert _offered(schedule) == [13, 8, 7, 6]


def test_a_score_that_is_not_a_number_is_never_promoted(train: Train) -> None:
    schedule = _started(9)
    for trial in range(9):
        train(schedule, trial, {1: 0.1 if trial == 4 else math.nan})
    assert _offered(schedule) == [4]


def test_a_promoted_trial_that_loses_an_epoch_and_trains_it_again_does_not_pause_again(
    train: Train, resume: Resume
) -> None:
    schedule = _started(1, planned=1)
    train(schedule, 0, {1: 0.5})
    resume(schedule)
    assert schedule.report(0, 1, 0.4) == Judgement(Verdict.CONTINUE, rung=1)


def test_more_trials_than_foreseen_begin_the_brackets_anew() -> None:
    schedule = _started(ROUND + 1)
    assert schedule.report(ROUND, 1, 0.5).verdict is Verdict.PAUSE
