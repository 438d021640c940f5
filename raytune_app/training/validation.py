"""Scoring a classifier on the validation part, always in float32: the score belongs to the network that is served."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from raytune_app.models.catalog import Classifier
from raytune_app.training.examples import Placed
from raytune_app.training.metrics import Counts

BATCH = 500


@torch.inference_mode()
def validate(classifier: Classifier, examples: Placed, classes: int) -> tuple[float, Counts]:
    """Mean cross entropy in nats, and the confusion table [K, K], row = truth; the mode stays as it was."""
    was_training = classifier.training
    classifier.eval()
    loss = torch.zeros((), dtype=torch.float64, device=examples.labels.device)
    table = torch.zeros(classes * classes, dtype=torch.int64, device=examples.labels.device)
    for inputs, labels in examples.batches(BATCH):
        logits = classifier(inputs)
        loss += F.cross_entropy(logits, labels, reduction="sum")
        table += torch.bincount(labels * classes + logits.argmax(1), minlength=classes * classes)
    classifier.train(was_training)
    return float(loss) / len(examples), table.view(classes, classes).cpu().numpy()
