"""What a study costs beyond its training: 60 one-second trials on 2 slots, wall time over the floor of 30 s.

    make bench BENCH=trial_overhead

Both sides run the same trial (one second of sleep in a process that has imported torch) on the same embedded Ray: ours
through `tuning.runner` with its event log and checkpoints, and Ray Tune with its defaults. Process start is included.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune

from raytune_app.cluster import connect
from raytune_app.data.arrays import Arrays, Training
from raytune_app.spec import parse
from raytune_app.storage import Storage
from raytune_app.training.speed import Speed
from raytune_app.training.state import State
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.events import EventLog
from raytune_app.tuning.folder import create_study
from raytune_app.tuning.resources import TrialResources
from raytune_app.tuning.runner import run_trials
from raytune_app.tuning.stint import Stint
from raytune_app.tuning.trainable import TrialInput, TrialTrainable
from raytune_app.tuning.view import TrialState

SLOTS = 2


class OneSecond:
    """Stands where a learner does: an epoch is a second of sleep."""

    def train_epoch(self) -> dict[str, Any]:
        time.sleep(1)
        return {"epoch": 1, "accuracy": 0.9, "epoch_s": 1.0, "parameters": 1, "diverged": False, "finished": True}

    def state(self) -> State:
        return State({}, {"epoch": 1}, {})

    def load_state(self, state: State) -> None:
        """Nothing to load."""


class OneSecondTrial(TrialTrainable):
    """The product's trainable with a sleeping learner."""

    def _begin(self, stint: Stint) -> None:
        self._learner = OneSecond()


class PlainTrial(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
    """The same second as a user of plain Ray Tune would write it."""

    def step(self) -> dict[str, Any]:
        time.sleep(1)
        return {"accuracy": 0.9, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "state.json").write_text("{}")

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


def ours(trials: int, folder: str) -> float:
    """Wall seconds of `trials` trials through the product's runner."""
    content = {"name": "bench", "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"}, "trials": trials}
    experiment = parse({**content, "train": {"epochs": 1, "lr": {"uniform": [0.1, 0.2]}}})
    storage = Storage(folder)
    study = create_study(storage, experiment)
    empty = Arrays(np.zeros((0, 1, 28, 28), np.uint8), np.zeros(0, np.int64))
    data = Training(empty, empty, ("0",), (0.0,), (1.0,), "none")
    shared = TrialInput(experiment.to_dict(), data, Speed(), storage.uri, study.paths.folder, 1, 0)
    log = EventLog(storage, study.paths)
    log.append("study_started", study=study.study, trials=trials, epochs=1)
    started = time.perf_counter()
    run_trials(shared, study, Conductor(experiment, log), TrialResources(1, 0, SLOTS), OneSecondTrial)
    wall_s = time.perf_counter() - started
    view = study.view()
    assert sum(trial.state is TrialState.FINISHED for trial in view.trials.values()) == trials
    return wall_s


def plain(trials: int, folder: str) -> float:
    """Wall seconds of `trials` trials on Ray Tune's defaults."""
    started = time.perf_counter()
    config = tune.TuneConfig(num_samples=trials, metric="accuracy", mode="max", max_concurrent_trials=SLOTS)
    results = tune.Tuner(
        tune.with_resources(PlainTrial, {"cpu": 1}),
        param_space={"lr": tune.uniform(0.1, 0.2)},
        tune_config=config,
        run_config=tune.RunConfig(storage_path=folder, name="plain", verbose=0),
    ).fit()
    assert len(results) == trials and not results.errors
    return time.perf_counter() - started


def main() -> None:
    """Run both sides and print wall time over the floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument(
        "--plain-trials", type=int, default=20, help="Ray's defaults take seconds a trial; fewer are enough"
    )
    args = parser.parse_args()
    print(f"Ray {ray.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    with connect(cpus=SLOTS), tempfile.TemporaryDirectory() as folder:
        for name, run, trials in (
            ("this product", ours, args.trials),
            ("Ray Tune's defaults", plain, args.plain_trials),
        ):
            wall_s = run(trials, f"{folder}/{run.__name__}")
            floor_s = trials / SLOTS
            print(f"{name:<20} {trials:>3} trials {wall_s:6.1f} s, {wall_s / floor_s:5.2f} times {floor_s:.0f} s")


if __name__ == "__main__":
    main()
