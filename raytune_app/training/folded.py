"""Cross-validation inside a trial: k trainings that advance epoch by epoch together, told of as one."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raytune_app.data.arrays import Arrays, Training
from raytune_app.data.folds import make_folds
from raytune_app.spec.grammar import Experiment
from raytune_app.training.metrics import MACROS, Floats, Scores
from raytune_app.training.patience import Patience
from raytune_app.training.pictures import place_fold
from raytune_app.training.result import EpochResult
from raytune_app.training.run import Run
from raytune_app.training.seeds import fold_seed
from raytune_app.training.speed import Speed


class FoldedRun:
    """The training of one configuration on every fold; `train_epoch` takes each fold one epoch further.

    A result's losses and accuracies are means over the folds. Its macro scores are those of the pooled confusion table,
    in which each example counts once: a mean of macro scores over small folds, and over single examples all the more,
    would count classes that a fold lacks as failures. `objective_se` is the standard error over folds: for a mean the
    standard deviation (ddof 1) by the root of k, for a macro score the delete-one-fold jackknife of the pooled score
    (Tukey 1958), which for a mean is the same number.

    Args:
        experiment: resolved, with `folds`.
        data: both parts are trained on and scored, never at once by the same fold.
        seed: of all folds; fold i's own seed derives from it and i.
        device: where to train, one fold after the other.
        speed: how to compute.

    Raises:
        DataError: a batch is larger than a fold's training part, or a class has fewer examples than there are folds.
        InputError: the network cannot be built, or there are more folds than `folds.limit`.
    """

    def __init__(
        self, experiment: Experiment, data: Training, *, seed: int, device: torch.device, speed: Speed
    ) -> None:
        folds = make_folds(experiment, data)
        self.epoch = 0
        self._experiment, self._patience = experiment, Patience(experiment)
        self._examples = [len(folds.union) - len(left_out) for left_out in folds.left_out]
        self.runs = [
            Run(
                experiment,
                folds.describe(fold),
                seed=fold_seed(seed, fold),
                device=device,
                speed=speed,
                parts=place_fold(folds, fold, device) if isinstance(folds.union, Arrays) else None,
            )
            for fold in range(len(folds))
        ]

    def train_epoch(self) -> EpochResult:
        """Train each fold one epoch. Never raises because a loss is not finite."""
        started = time.perf_counter()
        results = [self._train_fold(run) for run in self.runs]
        self.epoch += 1
        metric = str(self._experiment.objective.metric)
        means = {name: _mean(results, name) for name in ("train_loss", "train_accuracy", "loss", "accuracy")}
        pooled = Scores.of(sum((run.table for run in self.runs), np.zeros_like(self.runs[0].table)))
        values = means | {name: getattr(pooled, name) for name in MACROS}
        diverged = any(result.diverged for result in results)
        is_over = self._patience.is_over(values[metric], self.epoch)
        return EpochResult(
            epoch=self.epoch,
            **values,
            examples_per_s=self._examples_per_s(results),
            epoch_s=time.perf_counter() - started,
            lr=results[0].lr,
            diverged=diverged,
            finished=diverged or is_over or self.epoch >= self._experiment.train.epochs,
            peak_gpu_mb=max((result.peak_gpu_mb for result in results if result.peak_gpu_mb is not None), default=None),
            parameters=results[0].parameters,
            latency_ms=results[0].latency_ms,
            objective_se=self._standard_error(results, metric),
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that later epochs depend on: `Run.state` of each fold, its tensors behind `fold0.`, `fold1.`, ..."""
        tensors: dict[str, Tensor] = {}
        values = []
        for fold, run in enumerate(self.runs):
            own, own_values = run.state()
            tensors |= {f"{_prefix(fold)}{name}": tensor for name, tensor in own.items()}
            values.append(own_values)
        return tensors, {"epoch": self.epoch, "best": self._patience.state(), "folds": values}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from a state. Hyperparameters stay those of this run's own experiment, which PBT relies on."""
        for fold, (run, own_values) in enumerate(zip(self.runs, values["folds"], strict=True)):
            run.load_state(fold_state(tensors, fold), own_values)
        self.epoch = int(values["epoch"])
        self._patience.load_state(values["best"])

    def _train_fold(self, run: Run) -> EpochResult:
        run.latency_ms = self.runs[0].latency_ms  # the same network in each fold: timed once
        return run.train_epoch()

    def _examples_per_s(self, results: Sequence[EpochResult]) -> float:
        seconds = sum(n / result.examples_per_s for n, result in zip(self._examples, results, strict=True))
        return sum(self._examples) / seconds

    def _standard_error(self, results: Sequence[EpochResult], metric: str) -> float:
        if metric in MACROS:
            return self._jackknife(metric)
        values = np.array([getattr(result, metric) for result in results])
        with np.errstate(invalid="ignore", over="ignore"):  # after divergence
            return float(np.std(values, ddof=1) / math.sqrt(len(values)))

    def _jackknife(self, metric: str) -> float:
        tables = np.stack([run.table for run in self.runs])
        without: Floats = np.array([getattr(Scores.of(tables.sum(axis=0) - table), metric) for table in tables])
        return float(np.sqrt(np.var(without) * (len(tables) - 1)))


def fold_state(tensors: Mapping[str, Tensor], fold: int) -> dict[str, Tensor]:
    """The tensors of one fold's `Run.state` among those of `FoldedRun.state`."""
    prefix = _prefix(fold)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _prefix(fold: int) -> str:
    return f"fold{fold}."


def _mean(results: Sequence[EpochResult], name: str) -> float:
    with np.errstate(invalid="ignore", over="ignore"):  # after divergence
        return float(np.mean([getattr(result, name) for result in results]))
