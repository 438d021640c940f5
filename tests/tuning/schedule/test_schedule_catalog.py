"""Every scheduler that an experiment file may name is built with the file's settings."""

from typing import Any, get_args

import pytest

from raytune_app.spec import parse
from raytune_app.spec.grammar import Experiment, SchedulerSpec
from raytune_app.tuning.schedule.asha import Asha
from raytune_app.tuning.schedule.base import Schedule, Verdict
from raytune_app.tuning.schedule.catalog import build_schedule
from raytune_app.tuning.schedule.fifo import Fifo
from raytune_app.tuning.schedule.hyperband import Hyperband
from raytune_app.tuning.schedule.median import Median
from raytune_app.tuning.schedule.pb2 import Pb2
from raytune_app.tuning.schedule.pbt import Pbt
from raytune_app.tuning.schedule.promotion import AshaPromotion

ALWAYS = 1 - 1e-12
"""The file wants less than 1."""

KINDS: dict[str, type[Schedule]] = {
    "fifo": Fifo,
    "asha": Asha,
    "asha_promotion": AshaPromotion,
    "hyperband": Hyperband,
    "median": Median,
    "pbt": Pbt,
    "pb2": Pb2,
}


def _experiment(scheduler: dict[str, Any], *, perturb: bool = False, seed: int = 4) -> Experiment:
    lr: dict[str, Any] = {"loguniform": [1e-4, 1e-1]}
    content: dict[str, Any] = {
        "name": "catalog",
        "seed": seed,
        "data": {"name": "mnist"},
        "model": {"name": "tutorial_cnn", "channels": {"choice": [4, 8]}},
        "train": {"epochs": 9, "lr": lr | ({"perturb": True} if perturb else {})},
        "scheduler": scheduler,
        "trials": 6,
    }
    return parse(content)


def test_the_catalog_knows_every_name_of_the_grammar() -> None:
    names = {get_args(spec.model_fields["name"].annotation)[0] for spec in get_args(get_args(SchedulerSpec)[0])}
    assert names == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_each_name_builds_its_schedule(name: str) -> None:
    schedule = build_schedule(_experiment({"name": name}, perturb=name.startswith("pb")))
    assert type(schedule) is KINDS[name]
    assert schedule.copies == name.startswith("pb")


@pytest.mark.parametrize("name", ["asha_promotion", "hyperband"])
def test_rungs_lie_where_the_file_says(name: str) -> None:
    schedule = build_schedule(_experiment({"name": name, "grace": 2, "reduction": 2}))
    schedule.started(0, {})
    assert [epoch for epoch in range(1, 10) if schedule.report(0, epoch, 0.5).verdict is Verdict.PAUSE] == [2, 4, 8]


def test_hyperband_fits_its_brackets_to_the_number_of_trials() -> None:
    schedule = build_schedule(_experiment({"name": "hyperband"}))
    for trial in range(6):
        schedule.started(trial, {})
    rungs = [[epoch for epoch in (1, 3) if schedule.report(trial, epoch, 0.5).rung] for trial in range(6)]
    assert rungs == [[1, 3], [1, 3], [1, 3], [3], [3], []]


def test_the_median_rule_knows_its_grace_and_how_many_others_it_needs() -> None:
    schedule = build_schedule(_experiment({"name": "median", "grace": 3, "min_trials": 1}))
    for epoch in (1, 2, 3):
        schedule.report(0, epoch, 0.9)
    assert [schedule.report(1, epoch, 0.1).verdict for epoch in (2, 3)] == [Verdict.CONTINUE, Verdict.STOP]


def _paused_population(**settings: Any) -> Schedule:
    """Six members at their first perturbation, scores 0.0, 0.1, ..., lr 0.01."""
    schedule = build_schedule(_experiment({"name": "pbt", "interval": 3, **settings}, perturb=True))
    for trial in range(6):
        schedule.started(trial, {"train.lr": 0.01, "model.channels": 4})
    for trial in reversed(range(6)):
        assert schedule.report(trial, 2, 0.5).verdict is Verdict.CONTINUE
        assert schedule.report(trial, 3, trial / 10).verdict is Verdict.PAUSE
        schedule.paused(trial)
        together = settings.get("lockstep", True)
        assert len(schedule.resumptions(more=True)) == (0 if together and trial else 6 - trial)
    return schedule


@pytest.mark.parametrize("lockstep", [True, False])
def test_a_population_knows_its_rhythm_and_what_it_may_change(lockstep: bool) -> None:
    schedule = _paused_population(lockstep=lockstep, resample=0.0, factors=[0.5, 0.5])
    copy = next(each for each in schedule.resumptions(more=False) if each.trial == 0)
    assert (copy.source, copy.values) == (5, {"train.lr": 0.005})


def test_a_population_knows_how_many_copy_and_how_often_values_are_drawn_anew() -> None:
    schedule = _paused_population(quantile=0.5, resample=ALWAYS, factors=[0.5, 0.5])
    copies = [each for each in schedule.resumptions(more=False) if each.reason == "copied"]
    assert [each.trial for each in copies] == [0, 1, 2]
    assert len({each.values["train.lr"] for each in copies} - {0.005}) == 3


def test_a_population_waits_for_all_its_members() -> None:
    schedule = build_schedule(_experiment({"name": "pb2", "interval": 3}, perturb=True))
    for trial in range(5):
        schedule.started(trial, {"train.lr": 0.01})
        schedule.report(trial, 3, 0.5)
        schedule.paused(trial)
    assert not schedule.resumptions(more=True)


def test_a_population_draws_by_the_seed_of_the_file() -> None:
    copy = _paused_population(resample=ALWAYS).resumptions(more=False)[0]
    schedule = build_schedule(_experiment({"name": "pbt", "interval": 3, "resample": ALWAYS}, seed=5, perturb=True))
    for trial in range(6):
        schedule.started(trial, {"train.lr": 0.01, "model.channels": 4})
        schedule.report(trial, 3, trial / 10)
        schedule.paused(trial)
    other = schedule.resumptions(more=False)[0]
    assert (copy.trial, copy.source) == (other.trial, other.source)
    assert copy.values != other.values
