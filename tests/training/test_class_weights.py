from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.data.arrays import Arrays, Training
from raytune_app.spec import parse
from raytune_app.spec.grammar import TrainSpec
from raytune_app.training.run import Run, fit
from raytune_app.training.speed import Speed
from raytune_app.training.step import class_weights

MakeRun = Callable[..., Run]
MakeTraining = Callable[..., Training]

BALANCED = TrainSpec(class_weights="balanced")
SKEWED = [
    *[("filler seen", 0)] * 36,
    *[("filler else", 0)] * 144,
    *[("filler seen", 1)] * 16,
    *[("filler else", 1)] * 4,
]
"""Of what is `seen` 31 % are of the rare class, of all else 3 %: most texts of either kind are common."""


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_a_class_counts_as_much_as_any_other(labels: list[int]) -> None:
    weights = class_weights(BALANCED, torch.tensor(labels), 4)
    assert weights is not None and weights.dtype == torch.float32
    counts = Counter(labels)
    expected = [len(labels) / (4 * counts[label]) if counts[label] else 0.0 for label in range(4)]
    assert weights.tolist() == pytest.approx(expected)
    assert class_weights(TrainSpec(), torch.tensor(labels), 4) is None


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_torchs_own_with_these_weights(
    make_text_run: MakeRun, text_training: MakeTraining, smoothing: float
) -> None:
    rows = [*[("good film", 0)] * 6, ("bad film", 1), ("no film at all", 2)]
    data, settings = text_training(rows), {"batch_size": 8, "label_smoothing": smoothing, "epochs": 1}
    run = make_text_run(data, class_weights="balanced", **settings)
    ids, labels = run._train.take(torch.arange(8))
    weight = torch.tensor([8 / (3 * 6), 8 / 3, 8 / 3])
    loss, logits = run._step(ids, labels)
    assert float(loss) == pytest.approx(
        float(F.cross_entropy(logits, labels, weight=weight, label_smoothing=smoothing)), rel=1e-6
    )
    plain = make_text_run(data, **settings)
    assert float(plain._step(ids, labels)[0]) != pytest.approx(float(loss), rel=1e-3)
    assert plain._train.labels.tolist() == data.train.labels.tolist()


def test_the_rare_class_is_found_only_with_balanced_weights(
    make_text_run: MakeRun, text_training: MakeTraining
) -> None:
    data = text_training(SKEWED)
    recall = {}
    for weights in ("none", "balanced"):
        *_, last = fit(make_text_run(data, class_weights=weights, lr=0.02, epochs=4, batch_size=40))
        recall[weights] = last.macro_recall
    assert recall["none"] == 0.5, "everything is said to be of the common class"
    assert recall["balanced"] == pytest.approx(0.8)


def test_of_pictures_too() -> None:
    images = np.zeros((len(SKEWED), 1, 6, 6), np.uint8)
    images[["seen" in text for text, _ in SKEWED]] = 255
    part = Arrays(images, np.array([label for _, label in SKEWED]))
    data = Training(part, part, ("common", "rare"), (0.5,), (0.5,), "")
    recall = {}
    for weights in ("none", "balanced"):
        sections: dict[str, Any] = {"name": "test", "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"}}
        train = {"class_weights": weights, "epochs": 6, "batch_size": 40}
        run = Run(parse(sections | {"train": train}), data, seed=0, device=torch.device("cpu"), speed=Speed())
        *_, last = fit(run)
        recall[weights] = last.macro_recall
    assert recall["none"] == 0.5
    assert recall["balanced"] == pytest.approx(0.8)
