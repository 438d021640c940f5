"""What keeping the books costs: 1,000 trials that train nothing, on 2 slots, against Ray Tune that keeps none.

    make bench BENCH=bookkeeping [ARGS="--trials 100"]

Ours runs through `tuning.runner` with its event log and a checkpoint a trial; Ray Tune runs a class that does nothing,
with `reuse_actors=True`, without its CSV, JSON and TensorBoard loggers and without checkpoints. Each is a process of
its own on an embedded Ray of its own, and all processes import torch. The clock runs from the first trial's request to
the last trial's end; the time from the first report on leaves the start of the trial processes out. Memory is the
driver's: the highest resident size it ever had, and how far that is above its size when the trials began.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psutil
import ray
import torch
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
KB, MB = 2**10, 2**20


@dataclass(frozen=True, slots=True)
class Measured:
    """One side's run.

    Attributes:
        wall_s: of all trials.
        reporting_s: from the first report on.
        peak_mb, grown_mb: the driver's highest resident size, and how far that is above its size before the trials.
    """

    wall_s: float
    reporting_s: float
    peak_mb: float
    grown_mb: float


class Nothing:
    """Stands where a learner does, and learns nothing."""

    def train_epoch(self) -> dict[str, Any]:
        return {"epoch": 1, "accuracy": 0.9, "epoch_s": 0.0, "parameters": 1, "diverged": False, "finished": True}

    def state(self) -> State:
        return State({}, {"epoch": 1}, {})

    def load_state(self, state: State) -> None:
        """Nothing to load."""


class NothingTrial(TrialTrainable):
    """The product's trainable with that learner."""

    def _begin(self, stint: Stint) -> None:
        self._learner = Nothing()


class PlainTrial(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
    """The same as a user of plain Ray Tune would write it."""

    def setup(self, config: dict[str, Any]) -> None:
        torch.set_num_threads(1)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        return {"accuracy": 0.9, "at": time.time(), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Never asked for."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


def ours(trials: int, folder: str) -> float:
    """Run `trials` trials of this product; returns when the first one reported, seconds since the epoch."""
    content = {"name": "books", "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"}, "trials": trials}
    experiment = parse({**content, "train": {"epochs": 1, "lr": {"uniform": [0.1, 0.2]}}})
    storage = Storage(folder)
    study = create_study(storage, experiment)
    empty = Arrays(np.zeros((0, 1, 28, 28), np.uint8), np.zeros(0, np.int64))
    data = Training(empty, empty, ("0",), (0.0,), (1.0,), "none")
    shared = TrialInput(experiment.to_dict(), data, Speed(), storage.uri, study.paths.folder, 1, 0)
    first: list[float] = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and not first:
            first.append(time.time())

    log = EventLog(storage, study.paths, [watch])
    log.append("study_started", study=study.study, trials=trials, epochs=1)
    run_trials(shared, study, Conductor(experiment, log), TrialResources(1, 0, SLOTS), NothingTrial)
    assert sum(trial.state is TrialState.FINISHED for trial in log.view.trials.values()) == trials
    return first[0]


def plain(trials: int, folder: str) -> float:
    """The same of Ray Tune."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    config = tune.TuneConfig(
        num_samples=trials, metric="accuracy", mode="max", max_concurrent_trials=SLOTS, reuse_actors=True
    )
    results = tune.Tuner(
        tune.with_resources(PlainTrial, {"cpu": 1}),
        param_space={"lr": tune.uniform(0.1, 0.2)},
        tune_config=config,
        run_config=tune.RunConfig(storage_path=folder, name="plain", verbose=0),
    ).fit()
    assert len(results) == trials and not results.errors
    return min(float(result.metrics["at"]) for result in results)


SIDES: dict[str, Callable[[int, str], float]] = {"ours": ours, "plain": plain}


def measure(side: str, trials: int, folder: str) -> Measured:
    """Run one side in this process."""
    with connect(cpus=SLOTS, gpus=0):
        before, started = psutil.Process().memory_info().rss, time.time()
        first = SIDES[side](trials, folder)
        ended = time.time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KB  # Linux counts it in KB
    return Measured(ended - started, ended - first, peak / MB, (peak - before) / MB)


def measure_apart(side: str, trials: int) -> Measured:
    """Run one side in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--side", side, "--trials", str(trials), "--folder", folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603  # ourselves
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def mean(runs: list[Measured]) -> Measured:
    """Of each field."""
    return Measured(**{name: statistics.fmean(getattr(run, name) for run in runs) for name in asdict(runs[0])})


def line(side: str, trials: int, measured: Measured) -> str:
    """One row of the table."""
    return (
        f"{side:<8} {measured.wall_s:7.1f} s, {1000 * measured.reporting_s / trials:6.1f} ms a trial from the first"
        f" report on; driver {measured.peak_mb:5.0f} MB at most, {measured.grown_mb:4.0f} MB of it since the start"
    )


def main() -> None:
    """Run both sides in turn and print wall time, memory and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(asdict(measure(args.side, args.trials, args.folder))))
        return
    print(f"Ray {ray.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    print(f"{args.trials} trials on {SLOTS} slots, {time.strftime('%Y-%m-%d')}, load average {os.getloadavg()[0]:.2f}")
    runs: dict[str, list[Measured]] = {side: [] for side in SIDES}
    for number in range(args.rounds):
        for side in list(SIDES)[:: 1 if number % 2 == 0 else -1]:
            runs[side].append(measure_apart(side, args.trials))
            print(line(side, args.trials, runs[side][-1]), flush=True)
    means = {side: mean(each) for side, each in runs.items()}
    if args.rounds > 1:
        print(
            f"mean of {args.rounds} rounds:", *(line(side, args.trials, each) for side, each in means.items()), sep="\n"
        )
    wall, reporting = (getattr(means["ours"], of) / getattr(means["plain"], of) for of in ("wall_s", "reporting_s"))
    print(f"ours over plain: {wall:.2f}; from the first report on {reporting:.2f}")


if __name__ == "__main__":
    main()
