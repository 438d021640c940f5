"""After the choice: score the winner, once, on the sealed test part.

This is the only module of tuning that loads the test part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors

from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_test
from raytune_app.models.classifier import Classifier
from raytune_app.spec import Experiment, resolve
from raytune_app.training.metrics import confusion, report_scores
from raytune_app.training.predict import predict
from raytune_app.training.run import build_classifier, weights_of
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.trainable import WEIGHTS
from raytune_app.tuning.winner import Winner


@dataclass(frozen=True)
class Champion:
    """The winner's network, its resolved experiment, and its scores on the test part."""

    winner: Winner
    classifier: Classifier
    experiment: Experiment
    test: dict[str, Any]
    predictions: NDArray[np.int64]
    """The index of the answered label of each test picture, in the test part's order."""


def crown(folder: StudyFolder, experiment: Experiment, winner: Winner, data: Training) -> Champion:
    """Load the winner's checkpoint and score it on the sealed test part. Raises DataError or StorageError."""
    resolved = resolve(experiment, winner.config)
    classifier = build_classifier(resolved, data)
    tensors = load_tensors(folder.storage.read(folder.paths / f"{winner.checkpoint}/{WEIGHTS}"))
    classifier.load_state_dict(weights_of(tensors))
    test = load_test(experiment.data)
    predictions = predict(classifier, test.images, device=torch.device("cpu")).argmax(axis=1)
    table = confusion(test.labels, predictions, len(data.classes))
    scores = report_scores(table, data.classes, seed=experiment.seed)
    return Champion(winner, classifier, resolved, {**scores, "labels": list(data.classes)}, predictions)
