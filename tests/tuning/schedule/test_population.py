"""When members of a population are judged and whom they copy, fed by hand; new values are counted up from 100."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from raytune_app.spec.domains import parse_domain
from raytune_app.tuning.schedule.base import Resumption, Verdict
from raytune_app.tuning.schedule.population import Population, PopulationRules, Stretch

Train = Callable[..., None]
Resume = Callable[..., Resumption]


class Counted(Population):
    """Writes down what it is asked, and answers lr = 100, 101, ..."""

    def __init__(self, rules: PopulationRules) -> None:
        super().__init__(rules)
        self.asked: list[tuple[Mapping[str, Any], int, list[Any]]] = []

    def _explore(
        self, values: Mapping[str, Any], epoch: int, beside: Sequence[Mapping[str, Any]], rng: random.Random
    ) -> dict[str, Any]:
        self.asked.append((dict(values), epoch, [each["lr"] for each in beside]))
        return {"lr": 100 + len(beside)}


def _population(*, lockstep: bool = True, members: int = 4, quantile: float = 0.25, seed: int = 0) -> Counted:
    """Members 0, 1, ... with lr 0, 1, ... that have all started."""
    domains = {"lr": parse_domain({"uniform": [0, 1000]})}
    schedule = Counted(PopulationRules(domains, 2, quantile, lockstep, 6, members, seed))
    for trial in range(members):
        schedule.started(trial, {"lr": trial, "width": 10 * trial})
    return schedule


def _offered(schedule: Population, *, more: bool = False) -> list[tuple[int, int, str]]:
    return [(each.trial, each.source, each.reason) for each in schedule.resumptions(more=more)]


@pytest.mark.parametrize("lockstep", [True, False])
def test_members_pause_at_multiples_of_the_interval_but_not_at_the_end(lockstep: bool) -> None:
    schedule = _population(lockstep=lockstep)
    verdicts = {epoch: schedule.report(0, epoch, 0.5) for epoch in range(1, 7)}
    assert [epoch for epoch, each in verdicts.items() if each.verdict is Verdict.PAUSE] == [2, 4]
    assert [epoch for epoch, each in verdicts.items() if each.rung] == [2, 4]
    assert schedule.copies


def test_in_lockstep_the_round_is_judged_when_the_last_one_waits_copies_first(train: Train) -> None:
    schedule = _population()
    for trial, score in enumerate((0.5, 0.9, 0.1)):
        train(schedule, trial, {2: score})
    schedule.report(3, 2, 0.6)
    assert _offered(schedule) == []
    schedule.paused(3)
    assert _offered(schedule) == [(2, 1, "copied"), (0, 0, "continued"), (1, 1, "continued"), (3, 3, "continued")]


def test_a_copy_takes_all_values_of_its_source_and_new_ones_for_what_is_perturbed(train: Train) -> None:
    schedule = _population()
    for trial in range(4):
        train(schedule, trial, {2: trial / 10})
    copy = schedule.resumptions(more=False)[0]
    assert (copy.trial, copy.source, copy.values) == (0, 3, {"width": 30, "lr": 103})
    assert schedule.asked == [({"lr": 3, "width": 30}, 2, [1, 2, 3])]


def test_those_who_copy_know_what_the_others_before_them_got(train: Train) -> None:
    schedule = _population(quantile=0.5)
    for trial in range(4):
        train(schedule, trial, {2: trial / 10})
    assert [each.values["lr"] for each in schedule.resumptions(more=False)[:2]] == [102, 103]
    assert schedule.asked[1][2] == [2, 3, 102]


def test_the_plan_of_a_round_stays_while_its_members_go_on(train: Train, resume: Resume) -> None:
    schedule = _population()
    for trial in range(4):
        train(schedule, trial, {2: trial / 10})
    plan = schedule.resumptions(more=False)
    assert resume(schedule, more=False) == plan[0]
    train(schedule, 0, {3: 0.9, 4: 0.9})  # done with the next round before the others began it
    schedule.ended(2)
    assert schedule.resumptions(more=False) == [plan[1], plan[3]]
    assert len(schedule.asked) == 1


def test_what_was_copied_is_what_the_next_round_copies_from(train: Train, resume: Resume) -> None:
    schedule = _population()
    for trial in range(4):
        train(schedule, trial, {2: trial / 10})
    for _ in range(4):
        resume(schedule, more=False)
    for trial in range(4):
        train(schedule, trial, {3: 0.0, 4: 0.9 if trial == 0 else trial / 10})
    copy = schedule.resumptions(more=False)[0]
    assert (copy.trial, copy.source) == (1, 0)
    assert schedule.asked[-1][:2] == ({"lr": 103, "width": 30}, 4)


def test_a_score_that_is_not_a_number_is_the_worst_and_never_copied(train: Train) -> None:
    schedule = _population()
    for trial, score in enumerate((math.nan, math.nan, math.nan, 0.1)):
        train(schedule, trial, {2: score})
    assert _offered(schedule)[0] == (2, 3, "copied")
    lost = _population()
    for trial in range(4):
        train(lost, trial, {2: math.nan})
    assert {reason for _, _, reason in _offered(lost)} == {"continued"}


def test_members_that_ended_are_neither_waited_for_nor_copied(train: Train) -> None:
    schedule = _population()
    for trial in range(3):
        train(schedule, trial, {2: trial / 10})
    schedule.report(3, 2, 0.9)
    schedule.ended(3)
    assert _offered(schedule)[0] == (0, 2, "copied")


def test_the_last_one_goes_on_alone(train: Train) -> None:
    schedule = _population()
    for trial in (1, 2, 3):
        schedule.ended(trial)
    train(schedule, 0, {2: 0.5})
    assert _offered(schedule) == [(0, 0, "continued")]


@pytest.mark.parametrize("lockstep", [True, False])
def test_nobody_goes_on_before_all_have_started_unless_no_more_come(lockstep: bool, train: Train) -> None:
    schedule = _population(lockstep=lockstep)
    late = Counted(PopulationRules({}, 2, 0.25, lockstep, 6, 4, 0))
    for trial in range(3):
        late.started(trial, {"lr": 0})
        train(late, trial, {2: 0.5})
        train(schedule, trial, {2: 0.5})
    assert _offered(late, more=True) == []
    reasons = sorted(reason for _, _, reason in _offered(late, more=False))
    assert reasons == ["continued", "continued", "copied" if lockstep else "continued"]
    assert len(_offered(schedule, more=True)) == (0 if lockstep else 3)


def test_the_quantile_is_rounded_down_but_is_one_at_least_and_half_at_most(train: Train) -> None:
    copies = {}
    for members, quantile in ((2, 0.25), (3, 0.5), (7, 0.25), (8, 0.25), (10, 0.5), (100, 0.29)):
        schedule = _population(members=members, quantile=quantile)
        for trial in range(members):
            train(schedule, trial, {2: trial / 10})
        copies[members] = [reason for _, _, reason in _offered(schedule)].count("copied")
    assert copies == {2: 1, 3: 1, 7: 1, 8: 2, 10: 5, 100: 29}


def test_sources_are_drawn_from_the_whole_best_quantile_by_the_seed(train: Train) -> None:
    def sources(seed: int) -> list[int]:
        schedule = _population(members=20, quantile=0.5, seed=seed)
        for trial in range(20):
            train(schedule, trial, {2: trial / 10})
        return [source for _, source, reason in _offered(schedule) if reason == "copied"]

    assert sources(1) == sources(1) != sources(2)
    assert len(set(sources(1))) > 3
    assert set(sources(1)) <= set(range(10, 20))


def test_those_who_lag_behind_are_judged_first(train: Train, resume: Resume) -> None:
    schedule = _population(members=2)
    for trial in range(2):
        train(schedule, trial, {2: trial / 10})
    resume(schedule, more=False)
    resume(schedule, more=False)
    schedule.started(2, {"lr": 2, "width": 20})  # the study was extended
    for trial in range(2):
        train(schedule, trial, {3: 0.0, 4: trial / 10})
    assert _offered(schedule) == []
    train(schedule, 2, {2: 0.0})
    assert _offered(schedule) == [(2, 2, "continued")]


def test_out_of_lockstep_each_is_judged_as_it_pauses_by_the_latest_scores_of_all(train: Train) -> None:
    schedule = _population(lockstep=False)
    train(schedule, 3, {1: 0.1, 2: 0.9})
    assert _offered(schedule) == [(3, 3, "continued")]  # the only one that is known
    for trial, score in enumerate((0.3, 0.2, 0.1)):
        schedule.report(trial, 1, score)
    train(schedule, 0, {2: 0.15})
    train(schedule, 1, {2: 0.05})
    assert _offered(schedule) == [(3, 3, "continued"), (0, 0, "continued"), (1, 3, "copied")]
    assert schedule.asked == [({"lr": 3, "width": 30}, 2, [2])]  # 2 trains meanwhile


def test_out_of_lockstep_only_a_state_that_belongs_to_its_score_is_copied(train: Train, resume: Resume) -> None:
    schedule = _population(lockstep=False, members=2)
    train(schedule, 1, {2: 0.9})
    train(schedule, 0, {2: 0.1})
    resume(schedule, more=False)
    assert resume(schedule, more=False).source == 1  # 0 goes on from the state of 1
    schedule.report(0, 3, 0.95)
    train(schedule, 1, {3: 0.5, 4: 0.5})
    assert _offered(schedule) == [(1, 1, "continued")]  # 0 leads, but has saved nothing since


def test_out_of_lockstep_those_with_the_fewest_epochs_go_first_the_best_first(train: Train, resume: Resume) -> None:
    schedule = _population(lockstep=False)
    for trial in range(3):
        train(schedule, trial, {2: trial / 10})
    resume(schedule)
    train(schedule, 2, {3: 0.0, 4: 0.9})
    assert [trial for trial, _, _ in _offered(schedule)] == [1, 0, 2]


def test_a_member_that_loses_an_epoch_and_trains_it_again_is_not_judged_again(train: Train, resume: Resume) -> None:
    schedule = _population(members=2)
    for trial in range(2):
        train(schedule, trial, {2: 0.5})
    resume(schedule, more=False)
    assert schedule.report(1, 2, 0.4).verdict is Verdict.CONTINUE


def test_gains_are_counted_from_the_state_that_was_gone_on_from(train: Train, resume: Resume) -> None:
    schedule = _population(members=2)
    train(schedule, 0, {1: 0.0, 2: 0.25})
    train(schedule, 1, {1: 0.0, 2: 0.75})
    resume(schedule, more=False)
    resume(schedule, more=False)
    train(schedule, 0, {3: 0.0, 4: 1.0})  # a copy of 1
    train(schedule, 1, {3: 0.0, 4: math.nan})
    assert schedule._stretches == [Stretch(4, {"lr": 101, "width": 10}, 0.125)]
