"""Probabilities for many pictures, in batches."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from raytune_app.data.arrays import Arrays, Examples
from raytune_app.models.catalog import Classifier
from raytune_app.models.picture_classifier import PictureClassifier
from raytune_app.training.pictures import view


def predict(
    classifier: PictureClassifier, images: NDArray[np.uint8], *, device: torch.device, batch_size: int = 500
) -> NDArray[np.float32]:
    """Softmax probabilities float32 [N, K] of uint8 pictures [N, C, H, W], 0 to 255.

    The classifier is moved to `device` and left in evaluation mode. How pictures fall into batches may change the last
    bits of a result, so bit-equal answers need the same `batch_size`.
    """
    classifier.to(device).eval()
    rows = np.empty((len(images), len(classifier.signature.classes)), np.float32)
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = view(np.ascontiguousarray(images[start : start + batch_size])).to(device)
            rows[start : start + len(batch)] = classifier(batch).softmax(1).cpu().numpy()
    return rows


def answers(classifier: Classifier, examples: Examples, *, device: torch.device) -> NDArray[np.float32]:
    """Softmax probabilities float32 [N, K] of pictures or texts, whichever the classifier takes; as `predict`."""
    if isinstance(classifier, PictureClassifier):
        assert isinstance(examples, Arrays), "a network for pictures"
        return predict(classifier, examples.images, device=device)
    assert not isinstance(examples, Arrays), "a network for texts"
    return classifier.to(device).eval().probabilities(list(examples))
