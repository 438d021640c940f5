"""A small part of real MNIST, and experiments on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_training
from raytune_app.data.texts import Texts
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
    for part in training.pictures:
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


Rows = Sequence[tuple[str, int]]
"""Texts and their classes."""


def text_experiment(
    model: dict[str, Any] | None = None, augment: dict[str, Any] | None = None, **train: Any
) -> Experiment:
    """An experiment on texts, of a small text_bag unless told otherwise; `objective` and `folds` are its own."""
    sections: dict[str, Any] = {name: train.pop(name) for name in ("objective", "folds") if name in train}
    sections |= {
        "name": "test",
        "data": {"name": "sentences/sentiment"},
        "model": {"name": "text_bag", "dimension": 8, **(model or {})},
        "train": {"epochs": 3, "batch_size": 8, "speed": "plain", **train},
        "augment": augment or {},
    }
    return parse(sections)


def text_training(train: Rows, validation: Rows | None = None) -> Training:
    """Read-only as if mapped from a shared store; without `validation` it is the training part once more."""
    first, second = (
        Texts.of([text for text, _ in rows], [label for _, label in rows]) for rows in (train, validation or train)
    )
    for part in (first, second):
        for array in (part.utf8, part.offsets, part.labels):
            array.flags.writeable = False
    classes = tuple(f"class {label}" for label in range(1 + int(first.labels.max())))
    return Training(first, second, classes, (), (), "")


@pytest.fixture(scope="session", name="text_experiment")
def _text_experiment() -> Any:
    """`text_experiment(model=None, augment=None, **train)`."""
    return text_experiment


@pytest.fixture(scope="session", name="text_training")
def _text_training() -> Any:
    """`text_training(rows, validation=None)`: rows are pairs of text and class."""
    return text_training


@pytest.fixture(scope="session")
def make_text_run() -> Any:
    """`make_text_run(data, model=None, augment=None, seed=0, **train)`: a Run on data that `text_training` made."""

    def make(
        data: Training, model: dict[str, Any] | None = None, augment: dict[str, Any] | None = None, **train: Any
    ) -> Run:
        seed = train.pop("seed", 0)
        return Run(text_experiment(model, augment, **train), data, seed=seed, device=CPU, speed=Speed())

    return make
