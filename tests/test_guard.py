"""The guard's promise: a wrong decision is as rare as it says, and a right one comes."""

import random

import pytest

from raytune_app.rollout.guard import Counts, Flips, Rules, Verdict, interval, judge

ALPHA = 0.05
NONE = Flips(0, 0)


def flips(hits: int, n: int) -> Flips:
    return Flips(hits, n)


def counts(errors: Flips, slow: Flips | None = None, wrong: Flips = NONE) -> Counts:
    return Counts(errors, slow or Flips(0, errors.n), wrong)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.97])
def test_the_interval_fails_at_any_moment_no_more_often_than_alpha(share: float) -> None:
    """300 sequences of 1,000 flips, looked at after each: at 5 % no more than 29 may fail (99.9 % binomial bound)."""
    chance = random.Random(int(1000 * share))
    failed = 0
    for _ in range(300):
        hits = 0
        for n in range(1, 1001):
            hits += chance.random() < share
            if n % 20 == 0:
                low, high = interval(Flips(hits, n), ALPHA)
                if not low <= share <= high:
                    failed += 1
                    break
    assert failed <= 29


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 10), (0, 100_000), (99_999, 100_000), (5000, 100_000)])
def test_the_interval_holds_what_was_seen_and_lies_within_zero_and_one(hits: int, n: int) -> None:
    low, high = interval(Flips(hits, n), ALPHA)
    assert 0 <= low <= hits / n <= high <= 1
    assert high - low < 1


def test_an_interval_narrows_as_requests_come() -> None:
    widths = [high - low for low, high in (interval(Flips(n // 10, n), ALPHA) for n in (10, 100, 1000, 10_000))]
    assert widths == sorted(widths, reverse=True)
    assert interval(NONE, ALPHA) == (0.0, 1.0)


def test_nothing_is_decided_before_there_are_requests() -> None:
    assert judge(counts(NONE), counts(NONE), Rules()).verdict is Verdict.GO_ON
    assert judge(counts(flips(0, 5000)), counts(flips(0, 20)), Rules()).verdict is Verdict.GO_ON


def test_a_challenger_as_good_as_the_champion_is_promoted() -> None:
    judgement = judge(counts(flips(0, 100_000)), counts(flips(0, 5000)), Rules())
    assert judgement.verdict is Verdict.PROMOTE
    assert "0.00% of 5,000" in judgement.reason


@pytest.mark.parametrize(
    "challenger",
    [counts(flips(60, 300)), counts(flips(0, 300), slow=flips(150, 300)), counts(flips(0, 300), wrong=flips(150, 300))],
    ids=["fails", "slow", "wrong"],
)
def test_a_challenger_that_is_worse_is_rolled_back(challenger: Counts) -> None:
    champion = counts(flips(1, 5000), slow=flips(50, 5000), wrong=flips(250, 5000))
    assert judge(champion, challenger, Rules()).verdict is Verdict.ROLL_BACK


def test_labels_that_come_back_must_have_proved_it_too() -> None:
    champion, few = counts(flips(0, 50_000), wrong=flips(0, 10)), counts(flips(0, 50_000), wrong=flips(0, 10))
    assert judge(champion, few, Rules()).verdict is Verdict.GO_ON
    without = counts(flips(0, 50_000))
    assert judge(without, without, Rules()).verdict is Verdict.PROMOTE
    assert judge(without, without, Rules(labels=True)).verdict is Verdict.GO_ON


def test_a_guard_that_looks_at_each_request_is_rarely_wrong() -> None:
    """100 rollouts of a challenger that equals its champion, looked at 50 times each: no rollback beyond alpha's."""
    chance = random.Random(0)
    rolled_back = 0
    for _ in range(100):
        errors = [0, 0]
        for n in range(100, 5001, 100):
            errors = [hits + sum(chance.random() < 0.02 for _ in range(100)) for hits in errors]
            champion, challenger = (counts(flips(hits, n)) for hits in errors)
            verdict = judge(champion, challenger, Rules(errors=0.0)).verdict
            if verdict is Verdict.ROLL_BACK:
                rolled_back += 1
                break
    assert rolled_back <= 5
