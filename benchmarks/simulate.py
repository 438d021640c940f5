"""How long schedules take to know the best configuration, with 1 to 500 workers: recorded curves, a virtual clock.

    python benchmarks/simulate.py [--record FOLDER/200] [--seeds 20]

`--record out/200` first trains 200 configurations of the experiment below with `training.fit`, one after the other on
one thread, and writes benchmarks/curves.json (a copy in the folder): accuracy and CPU seconds of every epoch.

The simulation trains nothing. It replays those curves under this product's own schedules; a worker takes for an epoch
what was recorded, times a log-normal factor of mean 1 (stragglers), and is lost at random, in which case the trial goes
on elsewhere after its last whole epoch and the worker comes back later. A study with at most as many trials as there
are curves tries each once, in an order drawn by the seed; a larger one draws with replacement, so that some of its
trials are the same recorded curve again. No curve is made up. The goal is the best of those that a study draws, so it
is another curve for another seed; a schedule that stops it early never finds it, and misses it by so many points.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import math
import platform
import random
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_training
from raytune_app.spec import parse, resolve
from raytune_app.training.run import Run, fit
from raytune_app.training.speed import Speed
from raytune_app.tuning.schedule.asha import Asha
from raytune_app.tuning.schedule.base import Schedule, Verdict
from raytune_app.tuning.schedule.fifo import Fifo
from raytune_app.tuning.schedule.hyperband import Hyperband
from raytune_app.tuning.schedule.median import Median
from raytune_app.tuning.schedule.promotion import AshaPromotion
from raytune_app.tuning.space import suggest, trial_seed

CURVES = Path(__file__).with_name("curves.json")
EPOCHS = 9
CLOSE = 0.001
"""A configuration whose last accuracy is this close to the best one drawn is as good as the best."""

STUDIES = ((1, 100), (8, 100), (64, 150), (500, 1000))
"""Workers and trials."""

STRAGGLING = 0.5
"""Standard deviation of the logarithm of an epoch's time."""

BETWEEN_LOSSES, AWAY = 200.0, 10.0
"""Mean time to the loss of a worker, and how long it is away, in mean epochs."""

SCHEDULES: dict[str, Callable[[int], Schedule]] = {
    "random (fifo)": lambda _: Fifo(),
    "asha": lambda _: Asha(1, 3, EPOCHS),
    "asha_promotion": lambda _: AshaPromotion(1, 3, EPOCHS),
    "hyperband": lambda trials: Hyperband(1, 3, EPOCHS, trials),
    "halving": lambda trials: Hyperband(1, 3, EPOCHS, trials, brackets=1),
    "median": lambda _: Median(1, 3),
}

EXPERIMENT = parse(
    {
        "name": "curves",
        "data": {"name": "mnist", "train_limit": 2000, "validation": 0.5},
        "model": {"name": "tutorial_cnn", "channels": {"choice": [8, 16, 32]}},
        "train": {
            "epochs": EPOCHS,
            "batch_size": {"choice": [25, 50, 100, 200]},
            "optimizer": {"choice": ["adam", "adamw", "sgd", "rmsprop"]},
            "lr": {"loguniform": [1e-5, 1.0]},
            "momentum": {"choice": [0.0, 0.9]},
            "weight_decay": {"loguniform": [1e-6, 1e-1]},
            "speed": "plain",
        },
    }
)


@dataclass(frozen=True)
class Curve:
    """One recorded trial; a diverged one has a time for the epoch at which it ended, and no accuracy."""

    accuracy: tuple[float, ...]
    seconds: tuple[float, ...]


def record(number: int, data: Training) -> dict[str, Any]:
    """Train configuration `number`; seconds are CPU time, so that other work on the machine does not count."""
    values = suggest(EXPERIMENT, number)
    run = Run(
        resolve(EXPERIMENT, values),
        data,
        seed=trial_seed(EXPERIMENT, number),
        device=torch.device("cpu"),
        speed=Speed(),
    )
    accuracy, seconds, started = [], [], time.process_time()
    for result in fit(run):
        seconds.append(round(time.process_time() - started, 4))
        accuracy += [] if result.diverged else [round(result.accuracy, 4)]
        started = time.process_time()
    return {"number": number, "settings": values, "accuracy": accuracy, "seconds": seconds}


def record_all(folder: Path, count: int) -> None:
    """Train `count` configurations and write the table."""
    torch.set_num_threads(1)
    data = load_training(EXPERIMENT.data, EXPERIMENT.seed)
    curves = []
    for number in range(count):
        curves.append(record(number, data))
        print(f"{number + 1} of {count}: {curves[-1]['accuracy'][-1:]}", file=sys.stderr)
    table = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "machine": f"{platform.machine()}, one thread",
        "experiment": EXPERIMENT.to_dict(),
        "curves": curves,
    }
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(curve) for curve in curves)
    text = json.dumps(table | {"curves": []}).replace('"curves": []', f'"curves": [\n{lines}\n]') + "\n"
    for path in (folder / CURVES.name, CURVES):
        path.write_text(text, encoding="utf-8")


@dataclass(eq=False)
class Simulation:
    """One study of `trials` under a schedule, until a trial as good as the best has been trained to its end."""

    schedule: Schedule
    trials: list[Curve]
    free: int
    unit: float
    seed: int
    now: float = 0.0
    epochs: int = 0
    best: float = -math.inf
    _begun: int = 0
    _done: dict[int, int] = field(default_factory=dict)
    _stranded: deque[int] = field(default_factory=deque)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)

    @property
    def top(self) -> float:
        """The best last accuracy there is."""
        return max(curve.accuracy[-1] for curve in self.trials if len(curve.accuracy) == EPOCHS)

    def run(self) -> bool:
        """True if the goal was reached, at `now`; False if the study ended without it."""
        goal = self.top - CLOSE
        self._hand_out()
        while self._events and self.best < goal:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._hand_out()
        return self.best >= goal

    def _after(self, delay: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), event))

    def _hand_out(self) -> None:
        while self.free and (trial := self._next()) is not None:
            self.free -= 1
            self._train(trial)

    def _next(self) -> int | None:
        """A trial whose worker was lost, else one that the schedule lets go on, else a new one."""
        if self._stranded:
            return self._stranded.popleft()
        more = self._begun < len(self.trials)
        for first in self.schedule.resumptions(more=more):
            self.schedule.resumed(first)
            return first.trial
        if not more or not self.schedule.admits():
            return None
        self.schedule.started(self._begun, {})
        self._done[self._begun] = 0
        self._begun += 1
        return self._begun - 1

    def _train(self, trial: int) -> None:
        rng = random.Random(f"{self.seed} {trial} {self._done[trial]} {self.now}")
        factor = rng.lognormvariate(-(STRAGGLING**2) / 2, STRAGGLING)
        duration = self.trials[trial].seconds[self._done[trial]] * factor
        lost = rng.expovariate(1 / (BETWEEN_LOSSES * self.unit))
        if lost < duration:
            self._after(lost, lambda: self._lose(trial))
        else:
            self._after(duration, lambda: self._report(trial))

    def _lose(self, trial: int) -> None:
        self._stranded.append(trial)
        self._after(AWAY * self.unit, self._release)

    def _release(self) -> None:
        self.free += 1

    def _report(self, trial: int) -> None:
        self.epochs += 1
        accuracy, epoch = self.trials[trial].accuracy, self._done[trial] + 1
        self._done[trial] = epoch
        if epoch > len(accuracy):  # diverged
            self._end(trial)
            return
        verdict = self.schedule.report(trial, epoch, accuracy[epoch - 1]).verdict
        if epoch == EPOCHS:
            self.best = max(self.best, accuracy[-1])
        if epoch == EPOCHS or verdict is Verdict.STOP:
            self._end(trial)
        elif verdict is Verdict.PAUSE:
            self.schedule.paused(trial)
            self._release()
        else:
            self._train(trial)

    def _end(self, trial: int) -> None:
        self.schedule.ended(trial)
        self._release()


def draw(curves: list[Curve], count: int, seed: int) -> list[Curve]:
    """Each curve at most once if there are enough of them; else with replacement."""
    rng = random.Random(seed)
    return rng.sample(curves, count) if count <= len(curves) else rng.choices(curves, k=count)


def compare(curves: list[Curve], seeds: int) -> None:
    """Print a line for every number of workers and schedule."""
    unit = statistics.mean(second for curve in curves for second in curve.seconds)
    print("workers trials schedule         found    time mean     sd   epochs mean     sd  faster  missed by")
    for workers, trials in STUDIES:
        plain: list[Simulation] = []
        for name, build in SCHEDULES.items():
            draws = [draw(curves, trials, seed) for seed in range(seeds)]
            studies = [Simulation(build(trials), drawn, workers, unit, seed) for seed, drawn in enumerate(draws)]
            found = [study for study in studies if study.run()]
            plain = plain or studies
            print(f"{workers:7d} {trials:6d} {name:<15} {_line(found, studies, plain, unit)}", flush=True)


def _line(found: list[Simulation], studies: list[Simulation], plain: list[Simulation], unit: float) -> str:
    """`faster` compares, seed by seed, those studies that found it in this schedule and in the plain one."""
    times, epochs = [study.now / unit for study in found], [study.epochs for study in found]
    pairs = [(study.now, other.now) for study, other in zip(studies, plain, strict=True) if study in found]
    faster = sum(other for _, other in pairs) / sum(own for own, _ in pairs) if pairs else math.nan
    missed = statistics.mean(max(0.0, study.top - study.best) * 100 for study in studies)
    means = [statistics.mean(values) if values else math.nan for values in (times, epochs)]
    return (
        f"{len(found):3d}/{len(studies):<3d} {means[0]:11.1f} {_sd(times):6.1f} {means[1]:13.0f} {_sd(epochs):6.0f}"
        f" {faster:6.1f}x {missed:6.2f} points"
    )


def _sd(values: list[float] | list[int]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


def main() -> None:
    """Record if asked to, then simulate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", type=Path, metavar="FOLDER/N", help="train N configurations first")
    parser.add_argument("--seeds", type=int, default=20)
    args = parser.parse_args()
    if args.record:
        record_all(args.record.parent, int(args.record.name))
    table = json.loads(CURVES.read_text(encoding="utf-8"))
    curves = [Curve(tuple(each["accuracy"]), tuple(each["seconds"])) for each in table["curves"]]
    whole = sum(len(curve.accuracy) == EPOCHS for curve in curves)
    print(
        f"Curves: recorded, {len(curves)} configurations of {EPOCHS} epochs on MNIST, {table['date']}, "
        f"torch {table['versions']['torch']}, {table['machine']}; {len(curves) - whole} diverged.\n"
        f"Goal: to know one within {CLOSE * 100:g} points of the best that the study drew, at its last epoch.\n"
        "Clock: virtual; one unit is the mean recorded epoch. Means are over the studies that reach the\n"
        "goal; `faster` is than fifo in the same studies.\n"
        f"Stragglers: log-normal, sigma {STRAGGLING}; a worker is lost every {BETWEEN_LOSSES:g} for {AWAY:g}.\n"
        f"More trials than {len(curves)} curves are drawn with replacement: the same curves again.\n"
    )
    compare(curves, args.seeds)


if __name__ == "__main__":
    main()
