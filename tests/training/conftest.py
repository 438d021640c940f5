"""A small part of real MNIST, and experiments on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_training
from raytune_app.spec import Experiment, parse
from raytune_app.spec.grammar import DataSpec
from raytune_app.training.run import Run
from raytune_app.training.speed import Speed

CPU = torch.device("cpu")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data() -> Training:
    """360 training and 240 validation digits, read-only as if mapped from a shared store."""
    training = load_training(DataSpec(name="mnist", train_limit=600, validation=0.4), seed=0)
    for part in (training.train, training.validation):
        part.images.flags.writeable = part.labels.flags.writeable = False
    return training


def experiment(model: dict[str, Any] | None = None, augment: dict[str, Any] | None = None, **train: Any) -> Experiment:
    """An experiment of 3 epochs of batches of 50, or as asked."""
    objective = train.pop("objective", None)
    sections = {
        "name": "test",
        "data": {"name": "mnist"},
        "model": model or {"name": "tutorial_cnn", "channels": 4},
        "train": {"epochs": 3, "batch_size": 50, "speed": "plain", **train},
        "augment": augment or {},
    }
    return parse(sections | ({"objective": objective} if objective else {}))


@pytest.fixture(scope="session")
def make_run(data: Training) -> Any:
    """`make_run(model=None, augment=None, seed=0, speed=Speed(), **train)`: a Run on the small data."""

    def make(
        model: dict[str, Any] | None = None,
        augment: dict[str, Any] | None = None,
        *,
        seed: int = 0,
        speed: Speed | None = None,
        **train: Any,
    ) -> Run:
        return Run(experiment(model, augment, **train), data, seed=seed, device=CPU, speed=speed or Speed())

    return make
