"""Five trials of a quarter GPU each on a cluster that declares one GPU; writes what ran beside what to told.json.

A program of its own: Ray's test cluster cannot share a process with the one that the other tests use.
"""

from __future__ import annotations

import json
import os
import sys
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
from raytune_app.tuning.resources import allot
from raytune_app.tuning.runner import run_trials
from raytune_app.tuning.stint import Stint
from raytune_app.tuning.trainable import TrialInput, TrialTrainable

DEADLINE_S = 120.0


class Witness:
    """A learner that waits until four trials are there, and notes which GPU it was given."""

    def __init__(self, folder: Path, trial: int) -> None:
        self._folder, self._trial = folder, trial

    def train_epoch(self) -> dict[str, Any]:
        began = time.time()
        (self._folder / f"here-{self._trial}").touch()
        while len(list(self._folder.glob("here-*"))) < 4 and time.time() < began + DEADLINE_S:
            time.sleep(0.02)
        seen = {"gpus": ray.get_gpu_ids(), "began": began, "ended": time.time()}
        (self._folder / f"seen-{self._trial}.json").write_text(json.dumps(seen))
        return {"epoch": 1, "accuracy": 0.5, "epoch_s": 1.0, "diverged": False, "finished": True}

    def state(self) -> State:
        return State({}, {}, {})

    def load_state(self, state: State) -> None:
        """Nothing to load."""


class WitnessTrial(TrialTrainable):
    """Trains nothing, on a GPU that is only declared."""

    def _begin(self, stint: Stint) -> None:
        self._learner = Witness(Path(self._studies.root), stint.trial)


def main(folder: str) -> None:
    """Run the five trials in a storage at `folder`."""
    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 8, "num_gpus": 1})
    try:
        content = {"name": "gpus", "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"}, "trials": 5}
        experiment = parse(
            {**content, "train": {"epochs": 1, "lr": {"uniform": [0.1, 0.2]}}, "resources": {"gpus": 0.25}}
        )
        storage = Storage(folder)
        study = create_study(storage, experiment, "none")
        resources = allot(experiment.resources, [node["Resources"] for node in ray.nodes()], trials=5)
        empty = Arrays(np.zeros((0, 1, 28, 28), np.uint8), np.zeros(0, np.int64))
        data = Training(empty, empty, ("0",), (0.0,), (1.0,), "none")
        shared = TrialInput(experiment.to_dict(), data, Speed(), storage.uri, study.paths.folder, 1, 0.25)
        conductor = Conductor(experiment, EventLog(storage, study.paths), gpus=0.25)
        run_trials(shared, study, conductor, resources, WitnessTrial)
        seen = [json.loads((Path(folder) / f"seen-{trial}.json").read_text()) for trial in range(5)]
        (Path(folder) / "told.json").write_text(json.dumps({"slots": resources.slots, "seen": seen}))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
