"""One interface to the three kinds of training: ours, ours on folds, and the user's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch

from raytune_app.data.arrays import Training
from raytune_app.spec.grammar import Experiment
from raytune_app.training.folded import FoldedRun
from raytune_app.training.run import Run
from raytune_app.training.speed import Speed
from raytune_app.training.state import State
from raytune_app.training.user import UserRun


class Learner(Protocol):
    """What trains one configuration, an epoch at a time, and can be put aside after any of them."""

    def train_epoch(self) -> dict[str, Any]:
        """Train one epoch and return its row: plain values, always with `epoch`, `diverged`, `finished`, `epoch_s`."""

    def state(self) -> State:
        """A copy of all that later epochs depend on."""

    def load_state(self, state: State) -> None:
        """Go on from a state, with the hyperparameters of this learner's own experiment."""


class OwnLearner:
    """Our training, on folds or not; a row has the fields of EpochResult, and there are no files."""

    def __init__(self, run: Run | FoldedRun) -> None:
        self.run = run

    def train_epoch(self) -> dict[str, Any]:
        return asdict(self.run.train_epoch())

    def state(self) -> State:
        return State(*self.run.state(), {})

    def load_state(self, state: State) -> None:
        self.run.load_state(state.tensors, state.values)


def build_learner(
    experiment: Experiment, data: Training, *, seed: int, device: torch.device, speed: Speed, folder: Path
) -> Learner:
    """The training that the experiment asks for.

    Args:
        experiment: resolved, without search domains.
        data: the training and validation parts; may be read-only.
        seed: everything random follows from it.
        device: where to train.
        speed: how our own training computes.
        folder: for the user's own files; local, and empty or not there yet.

    Raises:
        DataError: the data do not fit the experiment.
        InputError: the network cannot be built, there are too many folds, or the user's training cannot be imported.
    """
    if experiment.trial is not None:
        return UserRun(experiment, data, seed=seed, device=device, folder=folder)
    kind = Run if experiment.folds is None else FoldedRun
    return OwnLearner(kind(experiment, data, seed=seed, device=device, speed=speed))
