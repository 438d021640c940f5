"""The account says what the whole log says, kept up to date by each event alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytune_app.spec import Experiment, parse
from raytune_app.tuning.account import Account, devices_of
from raytune_app.tuning.budget import Budget
from raytune_app.tuning.rungs import rung_table
from raytune_app.tuning.view import Event, Role, StudyState, StudyView, TrialState
from tests.tuning.world import KilledError, World

SCHEDULERS = {
    "asha": {"name": "asha", "grace": 1, "reduction": 3},
    "promotion": {"name": "asha_promotion", "grace": 1, "reduction": 3},
    "pbt": {"name": "pbt", "interval": 2},
}


def _experiment(scheduler: str) -> Experiment:
    perturb = {"perturb": True} if scheduler == "pbt" else {}
    content = {
        "name": "small",
        "seed": 5,
        "data": {"name": "mnist"},
        "model": {"name": "tutorial_cnn"},
        "train": {"epochs": 9, "batch_size": 50, "lr": {"loguniform": [1e-4, 1e-1], **perturb}, "speed": "plain"},
        "scheduler": SCHEDULERS[scheduler],
        "trials": 9,
    }
    return parse(content)


def _killed_now_and_then(experiment: Experiment, folder: Path) -> list[Event]:
    world = World(experiment, folder, slots=2)
    for dies_at in (20, 30, 40):
        with pytest.raises(KilledError):
            world.run(dies_at)
    world.run()
    return world.events()


@pytest.mark.parametrize("scheduler", list(SCHEDULERS))
def test_it_says_what_the_whole_log_says_after_every_event(scheduler: str, tmp_path: Path) -> None:
    experiment = _experiment(scheduler)
    objective = experiment.objective
    events = _killed_now_and_then(experiment, tmp_path)
    account, view = Account(objective), StudyView()
    for event in events:
        account.apply(event)
        view.apply(event)
        bests = {number: trial.best(objective.metric, objective.sign) for number, trial in view.trials.items()}
        assert {number: account.best(number) for number in view.trials} == bests
        scored = {n: best[objective.metric] for n, best in bests.items() if best}
        leader = account.leader
        assert (leader.number if leader else None) == max(scored, key=lambda n: (scored[n], -n), default=None)
        judged = {(n, row["rung"]): row for n, trial in view.trials.items() for row in trial.epochs if row["rung"]}
        assert {(n, rung): row for rung, rows in account.judged.items() for n, row in rows.items()} == judged
        if view.state is StudyState.RUNNING:
            assert account._total == view.progress()[0]
    assert len(events) > 50
    assert sum(event["event"] == "study_resumed" for event in events) == 3


def test_it_counts_what_the_budget_counts(tmp_path: Path) -> None:
    experiment = _experiment("asha")
    events = _killed_now_and_then(experiment, tmp_path)
    account, budget = Account(experiment.objective, events), Budget(experiment.budget, experiment.objective)
    searched = [event for event in events if event["event"] == "epoch"]
    for event in searched:
        budget.reported(event)
    assert (account.epochs, account.seconds) == (budget.epochs, budget.device_s)
    assert sum(trial.seconds for trial in account.view.trials.values()) == budget.device_s
    kept = sum(len(trial.epochs) for trial in account.view.of_role(Role.SEARCH))
    assert account.epochs > kept, "epochs that were lost were paid for too"


def test_the_pause_before_a_resumption_is_nobodys_time() -> None:
    times = ("00:00", "00:10", "05:00", "05:05")
    kinds: list[dict[str, Any]] = [
        {"event": "study_started", "study": "s", "trials": 1, "epochs": 2},
        {"event": "trial_started", "trial": 0, "config": {}},
        {"event": "study_resumed", "trials": 1, "epochs": 2},
        {"event": "unheard-of"},
    ]
    account = Account(_experiment("asha").objective)
    for time, kind in zip(times, kinds, strict=True):
        account.apply({**kind, "time": f"2026-11-21T10:{time}+00:00"})
    assert account.wall_s == 15.0


@pytest.mark.parametrize("scheduler", list(SCHEDULERS))
def test_the_rungs_hold_who_came_and_who_went_on(scheduler: str, tmp_path: Path) -> None:
    experiment = _experiment(scheduler)
    events = _killed_now_and_then(experiment, tmp_path)
    account = Account(experiment.objective, events)
    table = rung_table(account)
    assert [row.epoch for row in table] == ([2, 4, 6, 8] if scheduler == "pbt" else [1, 3])
    for row in table:
        trials = account.view.trials.values()
        assert row.reached == sum(len(trial.epochs) >= row.epoch for trial in trials)
        assert row.promoted >= sum(len(trial.epochs) > row.epoch for trial in trials)
        assert row.waiting <= sum(trial.state is TrialState.PAUSED for trial in trials)
        assert row.best is not None and row.cutoff is not None and row.best >= row.cutoff


def test_a_promoted_trial_has_left_its_rung_before_it_reports_again(tmp_path: Path) -> None:
    experiment = _experiment("promotion")
    account, promoted = Account(experiment.objective), set[int]()
    for event in _killed_now_and_then(experiment, tmp_path):
        account.apply(event)
        if event.get("reason") == "promoted" and event["epoch"] == 1:
            promoted.add(event["trial"])
        assert sum(row.promoted for row in rung_table(account) if row.epoch == 1) == len(promoted)
    first = rung_table(account)[0]
    assert first.waiting == first.reached - first.promoted > 0


@pytest.mark.parametrize(
    ("gpus", "workers", "on_gpu", "measured", "devices"),
    [
        (0, 1, False, None, 2.0),
        (0.25, 1, True, None, 0.25),
        (1, 4, True, None, 4.0),
        ("auto", 1, False, None, 2.0),
        ("auto", 1, True, None, 1.0),
        ("auto", 1, True, {"peak_mb": 1000.0, "total_mb": 16_000.0}, 0.1428),
        ("auto", 2, True, {"peak_mb": 1000.0, "total_mb": 16_000.0}, 2.0),
    ],
)
def test_an_hour_counts_the_gpus_of_a_trial_or_else_its_cpus(
    gpus: float | str, workers: int, on_gpu: bool, measured: dict[str, float] | None, devices: float
) -> None:
    record = {"speed": {"gpu": measured} if measured else None}
    assert devices_of({"cpus": 2, "gpus": gpus}, workers, record, on_gpu=on_gpu) == pytest.approx(devices, abs=0.02)
