"""Whole small studies on a real local Ray."""

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from raytune_app.errors import InputError, ResourceError, StorageError, StudyError
from raytune_app.spec import Experiment, load, parse
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.events import read_events
from raytune_app.tuning.view import StudyState, TrialState

if TYPE_CHECKING:
    from raytune_app.cluster import Cluster
    from raytune_app.tuning.ending import Outcome

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]


def _experiment(**changes: Any) -> Experiment:
    content: dict[str, Any] = {
        "name": "tiny",
        "seed": 5,
        "data": {"name": "mnist", "train_limit": 400, "validation": 0.25},
        "model": {"name": "tutorial_cnn", "channels": 4},
        "train": {"epochs": 3, "batch_size": 50, "lr": {"loguniform": [1e-3, 1e-2]}, "speed": "plain"},
        "scheduler": {"name": "asha"},
        "trials": 3,
        "resources": {"concurrent": 1},
    }
    return parse({**content, **changes})


def _run(experiment: Experiment, storage: Storage, code_paths: tuple[str, ...] = ()) -> "Outcome":
    from raytune_app.tuning import study

    return study.tune(study.prepare(experiment, storage, code_paths))


def test_same_seed_same_study(ray_cluster: "Cluster", storage: Storage) -> None:
    first, second = (_run(_experiment(), storage) for _ in range(2))
    logs = [_without_times(read_events(storage, outcome.folder.paths)) for outcome in (first, second)]
    assert logs[0] == logs[1]
    assert len([event for event in logs[0] if event["event"] == "epoch"]) >= 3
    assert first.winner == second.winner is not None


def test_at_two_slots_equal_trials_report_equal_epochs(ray_cluster: "Cluster", storage: Storage) -> None:
    """Which trials ASHA stops then depends on who reports first; what each of them reports does not."""
    first, second = (_run(_experiment(resources={"concurrent": 2}), storage) for _ in range(2))
    shared = 0
    for number, trial in first.view.trials.items():
        other = second.view.trials[number]
        assert trial.config == other.config
        for row, twin in zip(trial.epochs, other.epochs, strict=False):
            assert (row["loss"], row["accuracy"]) == (twin["loss"], twin["accuracy"])
            shared += 1
    assert shared >= 3


def test_an_interruption_before_the_first_trial_leaves_a_stopped_study(
    ray_cluster: "Cluster", storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raytune_app.tuning import study

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run_trials", interrupted)
    outcome = _run(_experiment(), storage)
    assert (outcome.state, outcome.reason) == (StudyState.STOPPED, "interrupted")


def test_the_speed_is_measured_once_on_each_machine(
    ray_cluster: "Cluster", storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raytune_app.tuning import study

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run_trials", interrupted)
    folder = _run(_experiment(train={"epochs": 1, "batch_size": 50}), storage).folder
    measured = folder.record()["speed"]
    assert measured["host"] == platform.node()
    folder.update(speed={**measured, "measured": "kept"})
    study.tune(study.reopen(folder))
    assert folder.record()["speed"]["measured"] == "kept"
    folder.update(speed={**measured, "host": "elsewhere"})
    study.tune(study.reopen(folder))
    assert folder.record()["speed"]["host"] == platform.node()


def test_an_error_in_the_middle_keeps_the_winner_so_far(
    ray_cluster: "Cluster", storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raytune_app.tuning.conductor import Conductor

    ended = Conductor.ended

    def full_disk(self: Conductor, trial: int) -> None:
        if trial == 1 and self.fault is None:
            raise StorageError("no space left on device")
        ended(self, trial)

    monkeypatch.setattr(Conductor, "ended", full_disk)
    with pytest.raises(StorageError, match="no space left"):
        _run(_experiment(), storage)
    (name,) = storage.folders("studies")
    assert storage.read_json(f"studies/{name}/study.json")["state"] == "failed"
    assert storage.read_json(f"studies/{name}/winner.json")["score"] > 0.2


def _without_times(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    measured = ("time", "study", "examples_per_s", "epoch_s", "host", "pid")  # what differs between equal runs
    return [{key: value for key, value in event.items() if key not in measured} for event in events]


def test_the_folder_holds_only_relative_paths_and_reopens_when_moved(
    ray_cluster: "Cluster", storage: Storage, tmp_path: Path
) -> None:
    from raytune_app.data.catalog import load_training
    from raytune_app.tuning.crown import crown
    from raytune_app.tuning.folder import open_study

    experiment = _experiment()
    outcome = _run(experiment, storage)
    Path(storage.root).rename(tmp_path / "moved")
    folder = open_study(Storage(str(tmp_path / "moved")), "tiny")
    for name in ("events.jsonl", "study.json", "winner.json", "spec.yaml"):
        assert str(tmp_path) not in folder.storage.read_text(folder.paths / name)
    assert outcome.winner is not None
    champion = crown(folder, experiment, outcome.winner, load_training(experiment.data, experiment.seed))
    assert champion.test["n"] == 10_000
    assert champion.test["accuracy"] > 0.6


def test_a_diverging_trial_is_named_and_the_study_goes_on(ray_cluster: "Cluster", storage: Storage) -> None:
    experiment = _experiment(
        train={"epochs": 2, "batch_size": 50, "lr": {"grid": [1e12, 1e-3]}, "optimizer": "sgd", "speed": "plain"},
        search={"name": "grid"},
        scheduler={"name": "fifo"},
        trials=None,
    )
    outcome = _run(experiment, storage)
    assert [trial.state for trial in outcome.view.trials.values()] == [TrialState.DIVERGED, TrialState.FINISHED]
    assert outcome.winner is not None and outcome.winner.trial == 1


@pytest.mark.slow
def test_a_study_whose_trials_all_fail_says_why(ray_cluster: "Cluster", storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "faulty_net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, signature):\n"
        "        super().__init__()\n"
        "        self.out = torch.nn.Linear(signature.channels * signature.image_size ** 2, len(signature.classes))\n"
        "    def forward(self, x):\n"
        "        if self.training and x.shape[0] == 50:\n"
        "            raise RuntimeError('the net is torn')\n"
        "        return self.out(x.flatten(1))\n"
    )
    experiment = _experiment(model={"name": "custom", "factory": "faulty_net:Net"})
    with pytest.raises(StudyError, match="the net is torn"):
        _run(experiment, storage, (str(tmp_path),))
    (name,) = storage.folders("studies")
    assert storage.read_json(f"studies/{name}/study.json")["state"] == "paused"
    details = [event["details"] for event in read_events(storage, StudyPaths(name)) if "details" in event]
    assert len(details) == 1, "the traceback is told once"
    assert "faulty_net.py" in details[0] and "site-packages" not in details[0]


def test_more_gpus_than_there_are_is_refused_before_anything_is_written(
    ray_cluster: "Cluster", storage: Storage
) -> None:
    with pytest.raises(ResourceError, match="GPU"):
        _run(_experiment(resources={"gpus": 0.5}), storage)
    assert storage.folders("studies") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"batch_size": {"choice": [10, 5000]}, "epochs": 3}},
        {"model": {"name": "custom", "factory": "no_such_module:net"}},
        {"model": {"name": "conv_net", "blocks": {"randint": [1, 6]}, "width": 8}},
    ],
    ids=["batch larger than the data", "no such module", "too small for five poolings"],
)
def test_what_cannot_train_is_refused_before_anything_is_written(
    changes: dict[str, Any], ray_cluster: "Cluster", storage: Storage
) -> None:
    with pytest.raises(InputError):
        _run(_experiment(**changes), storage)
    assert storage.folders("studies") == []


def test_the_target_ends_the_study_and_is_named(ray_cluster: "Cluster", storage: Storage) -> None:
    outcome = _run(_experiment(budget={"target": 0.2}), storage)
    assert outcome.state is StudyState.FINISHED
    assert outcome.reason is not None and "target" in outcome.reason
    assert outcome.winner is not None and outcome.winner.score >= 0.2


def test_checkpoints_are_safetensors_and_json(ray_cluster: "Cluster", storage: Storage) -> None:
    outcome = _run(_experiment(trials=1), storage)
    assert outcome.winner is not None
    names = storage.files(outcome.folder.paths / outcome.winner.checkpoint)
    assert {"state.safetensors", "state.json"} <= set(names)
    json.loads(storage.read(outcome.folder.paths / f"{outcome.winner.checkpoint}/state.json"))


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on_from_its_checkpoint(ray_cluster: "Cluster", storage: Storage) -> None:
    from raytune_app.tuning import study

    killed: list[int] = []

    def kill_at_the_second_epoch(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint" and event["epoch"] == 2 and not killed:
            (trial,) = [child for child in psutil.Process().children(recursive=True) if _is_trial(child)]
            killed.append(trial.pid)
            trial.kill()

    experiment = _experiment(
        scheduler={"name": "fifo"}, trials=1, train={"epochs": 5, "batch_size": 50, "speed": "plain"}
    )
    whole = _run(experiment, storage)
    outcome = study.tune(study.prepare(experiment, storage), [kill_at_the_second_epoch])
    assert killed
    trial = outcome.view.trials[0]
    assert (trial.state, trial.faults, [row["epoch"] for row in trial.epochs]) == (
        TrialState.FINISHED,
        1,
        [1, 2, 3, 4, 5],
    )
    assert [row["accuracy"] for row in trial.epochs] == [row["accuracy"] for row in whole.view.trials[0].epochs]
    assert [stint.epoch for stint in trial.stints] in ([0, 2], [0, 3]), "it began again"


def _is_trial(process: psutil.Process) -> bool:
    try:
        return "Trainable" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_a_promoted_trial_pauses_and_goes_on(ray_cluster: "Cluster", storage: Storage) -> None:
    outcome = _run(_experiment(scheduler={"name": "asha_promotion"}, trials=3), storage)
    stints = {number: [stint.reason for stint in trial.stints] for number, trial in outcome.view.trials.items()}
    assert ["started", "promoted"] in stints.values()
    states = [trial.state for trial in outcome.view.trials.values()]
    assert sorted(states) == [TrialState.FINISHED, TrialState.PAUSED, TrialState.PAUSED]


def test_a_users_own_training_is_tuned_and_confirmed_with_fresh_seeds(ray_cluster: "Cluster", storage: Storage) -> None:
    experiment = load("experiments/own_training.yaml", ["trials=2", "data.train_limit=400", "train.epochs=2"])
    outcome = _run(experiment, storage, ("experiments",))
    assert outcome.state is StudyState.FINISHED
    assert outcome.winner is not None and outcome.winner.config.keys() == experiment.domains().keys()


def test_a_cross_validated_winner_is_trained_once_more_on_the_whole(ray_cluster: "Cluster", storage: Storage) -> None:
    from raytune_app.data.catalog import load_training
    from raytune_app.tuning.crown import crown
    from raytune_app.tuning.view import Role

    experiment = _experiment(folds=3, trials=2, scheduler={"name": "fifo"})
    outcome = _run(experiment, storage)
    assert outcome.winner is not None
    assert outcome.view.trials[outcome.winner.trial].role is Role.REFIT
    searched = [trial for trial in outcome.view.trials.values() if trial.role is Role.SEARCH]
    assert len(searched) == 2 and all(trial.epochs[0]["objective_se"] > 0 for trial in searched)
    champion = crown(outcome.folder, experiment, outcome.winner, load_training(experiment.data, experiment.seed))
    assert champion.test["accuracy"] > 0.6


def test_the_confirmed_winner_is_chosen_by_the_mean_of_fresh_seeds(ray_cluster: "Cluster", storage: Storage) -> None:
    outcome = _run(_experiment(confirm={"top_k": 2, "seeds": 2}, trials=3), storage)
    content = outcome.folder.winner()
    assert content is not None
    assert [len(one["scores"]) for one in content["confirmed"]] == [2, 2]
    best = max(content["confirmed"], key=lambda one: one["mean"])
    assert content["search_trial"] == best["trial"]
    assert content["trial"] not in (0, 1, 2), "what is crowned was trained with a fresh seed"
    assert content["baseline"]["config"] == {"train.lr": 0.001}
