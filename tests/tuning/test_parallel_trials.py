"""Trials of two workers on a real local Ray: what they train, and that nothing of them stays behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from raytune_app.spec import Experiment, parse
from raytune_app.spec.reading import merge
from raytune_app.storage import Storage
from raytune_app.tuning.view import TrialState

if TYPE_CHECKING:
    from raytune_app.cluster import Cluster

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]

ENDS_S = 30.0
"""For what was stopped to have gone from Ray's tables."""
EXPERIMENT: dict[str, Any] = {
    "name": "parallel",
    "seed": 5,
    "data": {"name": "mnist", "train_limit": 400, "validation": 0.25},
    "model": {"name": "tutorial_cnn", "channels": 4},
    "train": {"epochs": 3, "batch_size": 50, "lr": {"grid": [0.003, 1e-6]}, "speed": "plain"},
    "search": {"name": "grid"},
    "scheduler": {"name": "asha", "grace": 1, "reduction": 2},
    "parallel": {"kind": "ddp", "workers": 2},
}


@pytest.fixture
def clean(ray_cluster: Cluster) -> Iterator[None]:
    """The test leaves no actor and no placement group, and so no process, behind."""
    before = _living()
    yield
    deadline = time.monotonic() + ENDS_S
    while (left := _living() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def _living() -> set[tuple[str, str]]:
    """Kind and id of what lives; one service of Ray's own for the whole cluster does not count."""
    import ray
    from ray.util.state import list_actors, list_placement_groups

    address = ray.get_runtime_context().gcs_address
    actors = [(actor.class_name, actor.actor_id) for actor in list_actors(address, limit=1000) if actor.state != "DEAD"]
    groups = list_placement_groups(address, limit=1000)
    return {actor for actor in actors if actor[0] != "_AutoscalingCoordinatorActor"} | {
        ("placement group", group.placement_group_id) for group in groups if group.state != "REMOVED"
    }


def _worker_pids() -> list[int]:
    import ray
    from ray.util.state import list_actors

    actors = list_actors(ray.get_runtime_context().gcs_address, limit=1000)
    return [actor.pid for actor in actors if actor.class_name == "RayTrainWorker" and actor.state == "ALIVE"]


def _input(experiment: Experiment) -> Any:
    from raytune_app.data.catalog import load_training
    from raytune_app.training.speed import Speed
    from raytune_app.tuning.trainable import TrialInput

    data = load_training(experiment.data, experiment.seed)
    return TrialInput(experiment.to_dict(), data, Speed(), "", "", cpus=1, gpus=0)


def test_a_study_of_parallel_trials_stops_the_worse_and_finds_a_winner(clean: None, storage: Storage) -> None:
    from raytune_app.data.catalog import load_training
    from raytune_app.tuning import study
    from raytune_app.tuning.crown import crown

    experiment = parse(EXPERIMENT)
    outcome = study.tune(study.prepare(experiment, storage))
    assert [trial.state for trial in outcome.view.trials.values()] == [TrialState.FINISHED, TrialState.STOPPED]
    assert outcome.winner is not None and outcome.winner.trial == 0
    data = load_training(experiment.data, experiment.seed)
    champion = crown(outcome.folder, experiment, outcome.winner, data)
    assert champion.test["accuracy"] > 0.5, "an ordinary network has taken over the weights"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray Data's, which Ray Train brings into this process
def test_a_trial_goes_on_from_a_state_and_a_killed_worker_is_its_failure(clean: None) -> None:
    import torch

    from raytune_app.spec import resolve
    from raytune_app.training.run import Run
    from raytune_app.training.speed import Speed
    from raytune_app.tuning.parallel import TrainedInParallel, WorkerLostError, Workers

    experiment, values = parse(merge(EXPERIMENT, {"parallel.kind": "fsdp"})), {"train.lr": 0.003}
    shared = _input(experiment)
    alone = Run(resolve(experiment, values), shared.data, seed=1, device=torch.device("cpu"), speed=Speed())
    losses = [alone.train_epoch().loss for _ in range(3)]
    workers = Workers(shared)
    try:
        first, second = (TrainedInParallel(workers, values, seed=1) for _ in range(2))
        found = [first.train_epoch()["loss"]]
        second.load_state(first.state())
        found += [second.train_epoch()["loss"] for _ in range(2)]
        assert found == pytest.approx(losses, abs=1e-4)
        for name, tensor in alone.state()[0].items():
            torch.testing.assert_close(second.state().tensors[name], tensor, rtol=1e-4, atol=1e-4)
        pids = _worker_pids()
        assert len(pids) == 2
        os.kill(pids[1], signal.SIGKILL)
        with pytest.raises(WorkerLostError, match="died"):
            second.train_epoch()
    finally:
        workers.stop()
