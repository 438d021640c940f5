"""After the choice: score the winner, once, on the sealed test part; beside it the defaults, if they were trained.

This is the only module of tuning that loads the test part.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raytune_app.data.arrays import Examples, Training
from raytune_app.data.catalog import load_test
from raytune_app.models.catalog import Classifier
from raytune_app.spec import Experiment, resolve
from raytune_app.training.calibration import calibration_error
from raytune_app.training.comparison import mcnemar
from raytune_app.training.metrics import confusion, report_scores
from raytune_app.training.predict import answers
from raytune_app.training.run import build_classifier, weights_of
from raytune_app.tuning.checkpoint import read_state
from raytune_app.tuning.folder import StudyFolder
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


def crown(
    folder: StudyFolder, experiment: Experiment, winner: Winner, data: Training, against: Winner | None = None
) -> Champion:
    """Load the winner's checkpoint and score it on the sealed test part. Raises DataError or StorageError.

    Args:
        against: the defaults' trial, to be tested against.
    """
    test = load_test(experiment.data, data.classes)
    classifier, probabilities = _answers(folder, experiment, winner, data, test)
    predictions = probabilities.argmax(axis=1)
    scores = report_scores(confusion(test.labels, predictions, len(data.classes)), data.classes, seed=experiment.seed)
    calibration = calibration_error(probabilities, test.labels, seed=experiment.seed)
    scores |= {
        "calibration_error": calibration.error,
        "calibration_error_low": calibration.low,
        "calibration_error_high": calibration.high,
        "labels": list(data.classes),
        "against": None,
    }
    if against is not None:
        _, others = _answers(folder, experiment, against, data, test)
        scores["against"] = _comparison(predictions, others.argmax(axis=1), test)
    return Champion(winner, classifier, resolve(experiment, winner.config), scores, predictions)


def _answers(
    folder: StudyFolder, experiment: Experiment, trial: Winner, data: Training, test: Examples
) -> tuple[Classifier, NDArray[np.float32]]:
    """The network at the trial's checkpoint, and its probabilities [N, K] for the test part."""
    classifier = build_classifier(resolve(experiment, trial.config), data)
    state = read_state(folder.storage, folder.paths / trial.checkpoint)
    classifier.load_state_dict(weights_of(state.tensors))
    return classifier, answers(classifier, test, device=torch.device("cpu"))


def _comparison(ours: NDArray[np.int64], others: NDArray[np.int64], test: Examples) -> dict[str, Any]:
    """The defaults' accuracy, and McNemar's test of whether the winner is really better."""
    right, others_right = ours == test.labels, others == test.labels
    return {"name": "the defaults", "accuracy": float(others_right.mean()), **asdict(mcnemar(right, others_right))}
