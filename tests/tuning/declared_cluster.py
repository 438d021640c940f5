"""Trials on clusters that declare what this machine may not have; writes what ran where, and when, to told.json.

A program of its own: Ray's test cluster cannot share a process with the one that the other tests use.

    python -m tests.tuning.declared_cluster quarters|labelled|lost FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ["RAY_AUTH_MODE"] = "disabled"  # this test cluster never hands out a token, and listens on loopback
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"

import numpy as np
import ray
from ray.cluster_utils import Cluster

from raytune_app.data.arrays import Arrays, Training
from raytune_app.spec import parse
from raytune_app.storage import Storage
from raytune_app.training.speed import Speed
from raytune_app.training.state import State
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.events import EventLog
from raytune_app.tuning.folder import create_study
from raytune_app.tuning.resources import TrialResources, allot
from raytune_app.tuning.runner import run_trials
from raytune_app.tuning.stint import Stint
from raytune_app.tuning.trainable import TrialInput, TrialTrainable

DEADLINE_S = 120.0
MB = 2**20
FAR = {"zone": "far"}


class Witness:
    """A learner that waits until so many trials are there, and for a lost node if one will be; notes where it ran."""

    def __init__(self, folder: Path, trial: int, wanted: dict[str, Any]) -> None:
        self._folder, self._trial, self._wanted = folder, trial, wanted

    def train_epoch(self) -> dict[str, Any]:
        began, here = time.time(), ray.get_runtime_context()
        (self._folder / f"here-{self._trial}").write_text(here.get_node_id())
        while not self._may_go() and time.time() < began + DEADLINE_S:
            time.sleep(0.02)
        seen = {"gpus": ray.get_gpu_ids(), "node": here.get_node_id(), "began": began, "ended": time.time()}
        (self._folder / f"seen-{self._trial}.json").write_text(json.dumps(seen))
        return {"epoch": 1, "accuracy": 0.5, "epoch_s": 1.0, "diverged": False, "finished": True}

    def state(self) -> State:
        return State({}, {}, {})

    def load_state(self, state: State) -> None:
        """Nothing to load."""

    def _may_go(self) -> bool:
        """On the node that is lost never: there it waits for its end."""
        is_full = len(list(self._folder.glob("here-*"))) >= self._wanted["together"]
        lost = (self._folder / "lost").read_text() if (self._folder / "lost").exists() else None
        here = ray.get_runtime_context().get_node_id()
        return is_full and (not self._wanted["lost"] or lost not in (None, here))


class WitnessTrial(TrialTrainable):
    """Trains nothing, on what is only declared."""

    def _begin(self, stint: Stint) -> None:
        folder = Path(self._studies.root)
        self._learner = Witness(folder, stint.trial, json.loads((folder / "wanted.json").read_text()))


def main(scenario: str, folder: Path) -> None:
    """Run one scenario's trials in a storage at `folder`."""
    told: dict[str, Any] = {"quarters": _quarters, "labelled": _labelled, "lost": _lost}[scenario](folder)
    (folder / "told.json").write_text(json.dumps(told))


def _quarters(folder: Path) -> dict[str, Any]:
    """Five trials of a quarter each on one GPU."""
    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 8, "num_gpus": 1})
    return _run(cluster, folder, {"gpus": 0.25}, trials=5, together=4)


def _labelled(folder: Path) -> dict[str, Any]:
    """Four trials that only one of three nodes may have, and that take of it what two can."""
    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 4})
    room = {"num_cpus": 4, "memory": 2000 * MB}
    cluster.add_node(**room, resources={"scanner": 4})
    node = cluster.add_node(**room, resources={"scanner": 2}, labels=FAR)
    asked = {"memory_mb": 600, "custom": {"scanner": 1}, "labels": FAR}
    return {"node": node.node_id, **_run(cluster, folder, asked, trials=4, together=2)}


def _lost(folder: Path) -> dict[str, Any]:
    """Two trials on two nodes, of which one is lost while they train."""
    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

    def lose() -> None:
        while len(list(folder.glob("here-*"))) < 2:
            time.sleep(0.05)
        lost = nodes[0].node_id
        cluster.remove_node(nodes[0])
        (folder / "written").write_text(lost)
        (folder / "written").replace(folder / "lost")

    loser = threading.Thread(target=lose, daemon=True)
    loser.start()
    told = _run(cluster, folder, {}, trials=2, together=2, lost=True)
    return {"left": nodes[1].node_id, **told}


def _run(
    cluster: Cluster, folder: Path, asked: dict[str, Any], *, trials: int, together: int, lost: bool = False
) -> dict[str, Any]:
    (folder / "wanted.json").write_text(json.dumps({"together": together, "lost": lost}))
    content = {"name": "drill", "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"}, "trials": trials}
    content |= {"train": {"epochs": 1, "lr": {"uniform": [0.1, 0.2]}}, "resources": asked}
    experiment = parse({**content, "failures": {"trial_retries": 0}})
    try:
        cluster.wait_for_nodes()
        labels = asked.get("labels", {})
        nodes = [node["Resources"] for node in ray.nodes() if labels.items() <= node["Labels"].items()]
        resources = allot(experiment.resources, nodes, trials=trials)
        events = _train(Storage(str(folder)), resources, experiment.to_dict())
        seen = [json.loads((folder / f"seen-{trial}.json").read_text()) for trial in range(trials)]
        return {"slots": resources.slots, "seen": seen, "events": events}
    finally:
        ray.shutdown()
        cluster.shutdown()


def _train(storage: Storage, resources: TrialResources, content: dict[str, Any]) -> list[dict[str, Any]]:
    experiment = parse(content)
    study = create_study(storage, experiment)
    empty = Arrays(np.zeros((0, 1, 28, 28), np.uint8), np.zeros(0, np.int64))
    data = Training(empty, empty, ("0",), (0.0,), (1.0,), "none")
    shared = TrialInput(content, data, Speed(), storage.uri, study.paths.folder, 1, resources.gpus)
    log = EventLog(storage, study.paths)
    run_trials(shared, study, Conductor(experiment, log, gpus=resources.gpus), resources, WitnessTrial)
    return [json.loads(line) for line in storage.read_text(study.paths.events).splitlines()]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
