"""A small experiment and hand-made reports for the tests of decisions."""

from collections.abc import Callable
from typing import Any

import pytest

from raytune_app.spec import Experiment, parse

Report = Callable[..., dict[str, Any]]


@pytest.fixture
def experiment() -> Experiment:
    return parse(
        {
            "name": "small",
            "seed": 3,
            "data": {"name": "mnist", "train_limit": 300},
            "model": {"name": "tutorial_cnn", "channels": {"choice": [4, 8]}},
            "train": {"epochs": 9, "batch_size": 50, "lr": {"loguniform": [1e-4, 1e-1]}, "speed": "plain"},
            "scheduler": {"name": "asha", "grace": 1, "reduction": 3},
            "trials": 6,
        }
    )


@pytest.fixture
def report() -> Report:
    def make(epoch: int, accuracy: float, **changes: Any) -> dict[str, Any]:
        scores = dict.fromkeys(("macro_precision", "macro_recall", "macro_f1", "train_accuracy"), accuracy)
        row = {"epoch": epoch, "train_loss": 1.0, "loss": 1 - accuracy, "accuracy": accuracy, **scores}
        return {
            **row,
            "examples_per_s": 1.0,
            "epoch_s": 1.0,
            "lr": 0.1,
            "diverged": False,
            "finished": epoch == 9,
            "peak_gpu_mb": None,
            **changes,
        }

    return make
