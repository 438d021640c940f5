"""A study that is killed and goes on decides exactly what one decides that was never killed."""

import random
from pathlib import Path
from typing import Any

import pytest

from raytune_app.spec import Experiment, parse
from raytune_app.tuning.confirm import chosen_of, confirmed, final
from raytune_app.tuning.search.base import Ending, Learnt, Told
from raytune_app.tuning.view import Role, TrialState
from raytune_app.tuning.winner import rank
from tests.tuning.world import KilledError, World, decisions

SCHEDULERS: dict[str, dict[str, Any]] = {
    "fifo": {"name": "fifo"},
    "asha": {"name": "asha"},
    "asha_promotion": {"name": "asha_promotion"},
    "hyperband": {"name": "hyperband"},
    "median": {"name": "median"},
    "pbt": {"name": "pbt", "interval": 2},
    "pb2": {"name": "pb2", "interval": 2},
}


def _experiment(scheduler: str, **changes: Any) -> Experiment:
    perturb = {"perturb": True} if scheduler in ("pbt", "pb2") else {}
    content = {
        "name": "drill",
        "seed": 11,
        "data": {"name": "mnist"},
        "model": {"name": "tutorial_cnn"},
        "train": {
            "epochs": 9,
            "lr": {"loguniform": [1e-4, 1e-1], **perturb},
            "momentum": {"uniform": [0.0, 0.9], **perturb},
        },
        "scheduler": SCHEDULERS[scheduler],
        "trials": 8,
        "confirm": {"top_k": 2, "seeds": 2},
    }
    return parse(content | changes)


def _killed(experiment: Experiment, folder: Path, slots: int, seed: int, learnt: Learnt = ()) -> World:
    """A study killed at about ten random moments, half of them in the middle of writing a line."""
    world, rng = World(experiment, folder, slots, learnt=learnt), random.Random(seed)
    kills = 0
    while True:
        try:
            world.run(rng.randrange(1, 40) if kills < 10 else None, torn=rng.random() < 0.5)
        except KilledError:
            kills += 1
        else:
            assert kills >= 3, "too few kills to prove anything"
            return world


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("scheduler", list(SCHEDULERS))
def test_ten_kills_change_no_decision(scheduler: str, slots: int, tmp_path: Path) -> None:
    experiment = _experiment(scheduler)
    whole = World(experiment, tmp_path / "whole", slots)
    whole.run()
    expected = decisions(whole.events())
    assert len(expected["epochs"]) > 20
    for seed in range(3):
        killed = _killed(experiment, tmp_path / f"killed-{seed}", slots, seed)
        assert decisions(killed.events()) == expected


SEARCHES: dict[str, dict[str, Any]] = {
    "quasirandom": {"name": "quasirandom"},
    "tpe": {"name": "tpe", "startup_trials": 5},
    "gp": {"name": "gp", "startup_trials": 8},
    "cmaes": {"name": "cmaes"},
    "nsga2": {"name": "nsga2", "startup_trials": 4},
    "points": {"name": "tpe", "startup_trials": 5, "points": [{"train.lr": 0.01}, {"train.momentum": 0.5}]},
}


@pytest.mark.parametrize("search", list(SEARCHES))
def test_the_searchers_memory_survives(search: str, tmp_path: Path) -> None:
    experiment = _experiment("asha", search=SEARCHES[search], confirm=None, trials=14)
    whole = World(experiment, tmp_path / "whole")
    whole.run()
    killed = _killed(experiment, tmp_path / "killed", slots=1, seed=5)
    assert decisions(killed.events()) == decisions(whole.events())


@pytest.mark.parametrize("search", ["tpe", "cmaes", "nsga2"])
def test_what_was_learnt_from_another_study_survives(search: str, tmp_path: Path) -> None:
    experiment = _experiment("fifo", search=SEARCHES[search], confirm=None, trials=10)
    learnt = [
        ({"train.lr": 10**-power, "train.momentum": 0.2 * power}, Told([1 - 0.1 * power], {1: 0.5}, Ending.WHOLE))
        for power in (1.5, 2.0, 2.5, 3.0, 3.5)
    ]
    whole, other = World(experiment, tmp_path / "whole", learnt=learnt), World(experiment, tmp_path / "other")
    whole.run()
    other.run()
    killed = _killed(experiment, tmp_path / "killed", slots=1, seed=5, learnt=learnt)
    assert decisions(killed.events()) == decisions(whole.events())
    assert decisions(other.events()) != decisions(whole.events()), "nothing was learnt"


def test_no_finished_trial_runs_twice_and_a_running_one_loses_at_most_one_epoch(tmp_path: Path) -> None:
    killed = _killed(_experiment("fifo"), tmp_path, slots=2, seed=7)
    trained: dict[tuple[int, int], int] = {}
    saved: dict[int, int] = {}
    for event in killed.events():
        if event["event"] == "epoch":
            place = event["trial"], event["epoch"]
            trained[place] = trained.get(place, 0) + 1
            assert event["epoch"] == saved.get(event["trial"], 0) + 1, "an epoch that was saved is never trained again"
        elif event["event"] == "checkpoint":
            saved[event["trial"]] = event["epoch"]
    assert max(trained.values()) >= 2, "no kill hit a running epoch"


def test_pruned_checkpoints_are_never_those_a_trial_goes_on_from(tmp_path: Path) -> None:
    for scheduler in SCHEDULERS:
        world = World(_experiment(scheduler), tmp_path / scheduler, slots=2)
        conductor = world.run()
        gone = set(world.deleted)
        assert gone
        for trial in conductor.view.trials.values():
            assert not gone & {saved.path for saved in trial.checkpoints.values()}
        for event in world.events():
            if event["event"] == "checkpoint_deleted":
                gone.discard(f"c/{event['trial']}/{event['epoch']}")
        assert not gone, "a file went without a word in the log"


def test_a_checkpoint_whose_deletion_was_cut_off_is_deleted(tmp_path: Path) -> None:
    world = World(_experiment("asha"), tmp_path)
    world.dies_at_deletion = True
    with pytest.raises(KilledError):
        world.run()
    view = world.run().view
    assert world.states.keys() == {saved.path for trial in view.trials.values() for saved in trial.checkpoints.values()}


def test_a_larger_number_of_trials_goes_on_with_the_memory(tmp_path: Path) -> None:
    small = World(_experiment("asha", search={"name": "tpe"}, trials=6, confirm=None), tmp_path / "extended")
    small.run()
    extended = small.edited(_experiment("asha", search={"name": "tpe"}, trials=14, confirm=None))
    conductor = extended.run()
    whole = World(_experiment("asha", search={"name": "tpe"}, trials=14, confirm=None), tmp_path / "whole")
    whole.run()
    assert decisions(extended.events())["started"] == decisions(whole.events())["started"]
    assert not [each for each in conductor.view.trials.values() if each.state is TrialState.RUNNING]


def test_an_extension_confirms_again(tmp_path: Path) -> None:
    world = World(_experiment("asha", trials=6), tmp_path)
    world.run()
    conductor = world.edited(_experiment("asha", trials=12)).run()
    trials = conductor.view.trials.values()
    search = [trial for trial in trials if trial.role == "search"]
    assert len(search) == 12
    best = sorted(search, key=lambda trial: -max(row["accuracy"] for row in trial.epochs))[:2]
    confirming = [trial.of for trial in trials if trial.role == "confirm"]
    assert all(confirming.count(trial.number) == 2 for trial in best), "the best of all have their fresh seeds"
    assert len([trial for trial in trials if trial.role == "baseline"]) == 1


def test_more_seeds_for_the_confirmation_are_added_to_those_there(tmp_path: Path) -> None:
    world = World(_experiment("asha", trials=6), tmp_path)
    world.run()
    conductor = world.edited(_experiment("asha", trials=6, confirm={"top_k": 2, "seeds": 4})).run()
    outcome = confirmed(conductor.view, conductor.experiment)
    assert [len(one.scores) for one in outcome] == [4, 4]


def test_with_folds_only_the_search_and_its_confirmation_are_folded(tmp_path: Path) -> None:
    conductor = World(_experiment("fifo", folds=3, trials=4), tmp_path).run()
    roles = {trial.role for trial in conductor.view.trials.values()}
    assert roles == {Role.SEARCH, Role.CONFIRM, Role.BASELINE, Role.REFIT}
    winner = final(conductor.view, conductor.experiment)
    assert winner is not None and conductor.view.trials[winner.trial].role is Role.REFIT
    chosen = chosen_of(conductor.view, conductor.experiment)
    assert chosen is not None and winner.epoch == chosen.epoch, "the folds chose the epoch too"


def test_a_finished_population_gives_its_disk_back(tmp_path: Path) -> None:
    world = World(_experiment("pbt", confirm=None, keep={"top_k": 2}), tmp_path)
    conductor = world.run()
    assert len(world.states) > 20
    conductor.settle()
    assert sorted(trial.number for trial in conductor.view.trials.values() if trial.checkpoints) == sorted(
        winner.trial
        for winner in rank(conductor.view, conductor.view.trials.values(), conductor.experiment.objective)[:2]
    )
    assert len(world.states) == 2
