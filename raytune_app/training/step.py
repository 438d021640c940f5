"""One optimizer step on one batch, and the epoch's running sums, which stay on the device until they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from raytune_app.models.catalog import Classifier
from raytune_app.spec.grammar import TrainSpec
from raytune_app.training.penalties import add_penalties, penalised
from raytune_app.training.speed import Precision, Speed


def class_weights(train: TrainSpec, labels: Tensor, classes: int) -> Tensor | None:
    """What an example of each class counts, float32 [K] on the labels' device: N / (K * examples of the class).

    None if all count the same; a class without an example has weight 0.
    """
    if train.class_weights == "none":
        return None
    counts = torch.bincount(labels, minlength=classes)
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), 0.0).float()


class Step:
    """Forward, backward, penalties, clipping, update; then the network's own `constrain()`, if it has one.

    Args:
        classifier: is trained in place.
        optimizer: of its parameters.
        train: label smoothing, penalties and clipping.
        speed: precision and compilation.
        class_weights: float32 [K], how much an example of each class counts in the loss; None: all the same.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        train: TrainSpec,
        speed: Speed,
        class_weights: Tensor | None = None,
    ) -> None:
        self._classifier, self._optimizer = classifier, optimizer
        self._class_weights = class_weights
        self._constrain = getattr(classifier.network, "constrain", None)
        self._smoothing = float(train.label_smoothing)
        self._l1, self._l2 = float(train.l1), float(train.l2)
        self._clip_norm = None if train.clip_norm is None else float(train.clip_norm)
        self._weights = penalised(classifier.parameters())
        self._bf16 = speed.precision is Precision.BF16
        self._full_batch = int(train.batch_size)
        self._compiled = _compile(classifier) if speed.compiled else None

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Learn from a batch; returns its mean loss and its logits [B, K], both detached."""
        self._classifier.train()
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self._bf16):
            logits = self._network(len(images))(images)
        loss = F.cross_entropy(logits.float(), labels, weight=self._class_weights, label_smoothing=self._smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        add_penalties(self._weights, l1=self._l1, l2=self._l2)
        if self._clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._classifier.parameters(), self._clip_norm)
        self._optimizer.step()
        if self._constrain is not None:
            self._constrain()
        return loss.detach(), logits.detach()

    def _network(self, batch: int) -> Callable[[Tensor], Tensor]:
        """The compiled network if there is one; an epoch's smaller last batch is not worth a compilation."""
        return self._compiled if self._compiled is not None and batch == self._full_batch else self._classifier


def _compile(classifier: Classifier) -> Callable[[Tensor], Tensor]:
    logging.getLogger("torch").setLevel(logging.ERROR)  # the compiler's remarks are not for the person who tunes
    compiled: Callable[[Tensor], Tensor] = torch.compile(classifier, dynamic=False)
    return compiled


class Tally:
    """Sums of loss and of right answers over an epoch; reading a mean waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self.count = 0
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._right = torch.zeros((), dtype=torch.int64, device=device)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count one batch: its mean loss, logits [B, K] and labels [B]."""
        self.count += len(labels)
        self._loss += loss * len(labels)
        self._right += (logits.argmax(1) == labels).sum()

    @property
    def loss(self) -> float:
        return float(self._loss) / max(self.count, 1)

    @property
    def accuracy(self) -> float:
        return float(self._right) / max(self.count, 1)
