"""A version is registered with the statistics that its endpoint later compares requests with."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from raytune_app.data.arrays import Arrays, Training
from raytune_app.models.catalog import build
from raytune_app.models.signature import PictureSignature
from raytune_app.spec.grammar import TutorialCnnSpec
from raytune_app.training.predict import answers
from raytune_app.tuning.publish import _reference

CLASSES = tuple("abc")


@pytest.fixture
def data() -> Training:
    random = np.random.default_rng(0)
    train, validation = (
        Arrays(random.integers(0, 256, (count, 1, 28, 28), np.uint8), random.integers(0, 3, count))
        for count in (20, 300)
    )
    return Training(train, validation, CLASSES, (0.5,), (0.3,), "fingerprint")


def test_the_statistics_are_of_the_networks_own_answers_to_the_validation_part(data: Training) -> None:
    classifier = build(TutorialCnnSpec(name="tutorial_cnn"), PictureSignature(1, 28, CLASSES, (0.5,), (0.3,)), seed=0)
    found = _reference(cast("Any", SimpleNamespace(classifier=classifier)), data)
    own = answers(classifier, data.validation, device=torch.device("cpu")).argmax(axis=1)
    assert found.classes == tuple(np.bincount(own, minlength=3).tolist())
    assert found.classes != tuple(np.bincount(data.validation.labels, minlength=3).tolist())
    assert {sum(each.counts) for each in found.features.values()} == {300}
