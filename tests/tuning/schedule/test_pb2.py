"""PB2 learns from the gains of its members and stays inside the domains."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.spec.domains import Domain, parse_domain
from raytune_app.tuning.schedule import pb2
from raytune_app.tuning.schedule.bandit import Floats
from raytune_app.tuning.schedule.pb2 import MIN_STRETCHES, Pb2, share
from raytune_app.tuning.schedule.population import PopulationRules

BEST = 0.003
LR = {"train.lr": parse_domain({"loguniform": [1e-5, 1e-1]})}


def _play(members: int, epochs: int, seed: int = 0) -> list[list[float]]:
    """By round, the rates that copies were given, where a rate gains more the nearer its logarithm is to BEST's."""
    schedule = Pb2(PopulationRules(LR, 1, 0.25, True, epochs, members, seed))
    rates = {trial: 1e-5 * 10 ** (4 * trial / members) for trial in range(members)}
    scores = dict.fromkeys(rates, 0.0)
    for trial, rate in rates.items():
        schedule.started(trial, {"train.lr": rate})
    given: list[list[float]] = []
    for epoch in range(1, epochs):
        for trial, rate in rates.items():
            scores[trial] += 1 - abs(math.log10(rate / BEST))
            schedule.report(trial, epoch, scores[trial])
            schedule.paused(trial)
        given.append([])
        while schedule.resumptions(more=False):
            first = schedule.resumptions(more=False)[0]
            schedule.resumed(first)
            scores[first.trial] = scores[first.source]
            rates[first.trial] = first.values.get("train.lr", rates[first.trial])
            given[-1] += [rates[first.trial]] if first.reason == "copied" else []
    return given


def test_new_values_come_near_those_that_gain_most() -> None:
    last = _play(8, 8)[-3:]
    distances = [abs(math.log10(rate / BEST)) for rates in last for rate in rates]
    assert len(distances) == 6
    assert sorted(distances)[3] < 0.5


def test_the_same_seed_gives_the_same_values_and_another_seed_others() -> None:
    assert _play(5, 5) == _play(5, 5) != _play(5, 5, seed=1)


def test_with_too_few_gains_values_are_perturbed_as_pbt_does() -> None:
    members = MIN_STRETCHES - 1
    first, second, *_ = _play(members, 4, seed=5)
    rates = [1e-5 * 10 ** (4 * trial / members) for trial in range(members)]
    assert any(math.isclose(first[0], rate * factor) for rate in rates for factor in (0.8, 1.2))
    assert second != first


def test_the_bandit_is_asked_for_the_end_of_the_next_stretch_beside_those_who_train_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def answer(points: Floats, times: Floats, gains: Floats, beside: Floats, time: float, rng: object) -> Floats:
        asked.append((points.shape, list(times), gains.shape, beside.shape, time))
        return np.array([0.5])

    monkeypatch.setattr(pb2, "next_point", answer)
    given = _play(8, 4)
    assert asked == [
        ((8, 1), [2.0] * 8, (8,), (6, 1), 3.0),
        ((8, 1), [2.0] * 8, (8,), (7, 1), 3.0),
        ((16, 1), [2.0] * 8 + [3.0] * 8, (16,), (6, 1), 4.0),
        ((16, 1), [2.0] * 8 + [3.0] * 8, (16,), (7, 1), 4.0),
    ]
    assert given[1] == given[2] == pytest.approx([1e-3, 1e-3])


def test_the_bandit_is_not_asked_with_fewer_gains_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(points: Floats, *_: object) -> Floats:
        asked.append(len(points))
        return np.array([0.5])

    monkeypatch.setattr(pb2, "next_point", answer)
    _play(MIN_STRETCHES - 1, 4)
    assert asked == [2 * (MIN_STRETCHES - 1)]  # in the third round; in the second there were too few


CONTENTS: list[dict[str, Any]] = [
    {"uniform": [-1, 3]},
    {"loguniform": [1e-5, 1]},
    {"quniform": [0, 1, 0.1]},
    {"randint": [0, 9]},
    {"lograndint": [1, 99]},
]


@given(st.sampled_from(CONTENTS).map(parse_domain), st.floats(0, 1, exclude_max=True))
def test_a_share_leads_back_to_its_value(domain: Domain, part: float) -> None:
    value = domain.at(part)
    assert 0 <= share(domain, value) <= 1
    assert math.isclose(domain.at(min(share(domain, value) + 1e-12, 1 - 1e-12)), value, rel_tol=1e-6, abs_tol=1e-6)


def test_logarithms_are_uniform_where_the_domain_is_logarithmic() -> None:
    assert share(LR["train.lr"], 1e-3) == pytest.approx(0.5)
    assert share(parse_domain({"uniform": [0, 4]}), 1.0) == pytest.approx(0.25)
