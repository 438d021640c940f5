"""What one epoch of training says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One epoch; scores without a prefix are of the validation part. After divergence they may be NaN or infinite.

    Attributes:
        epoch: counted from 1.
        train_loss: mean cross entropy over the epoch's batches, in nats, label smoothing included, penalties not.
        train_accuracy: of the augmented training examples, while the weights changed.
        loss: mean cross entropy without smoothing, in nats.
        examples_per_s: training examples a second, validation not included.
        epoch_s: wall time, validation included.
        lr: learning rate of the epoch's last step.
        diverged: the loss was not a number, infinite, or beyond all sense.
        finished: no further epoch is due: the last one, patience at its end, or diverged.
        peak_gpu_mb: most memory that tensors took on the GPU so far; None on a CPU.
        parameters: numbers of the network that training adjusts.
        latency_ms: median time of the network on one example on one CPU thread; None where no objective asks for it.
        objective_se: standard error of the first objective over the folds; None without folds.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    loss: float
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    examples_per_s: float
    epoch_s: float
    lr: float
    diverged: bool
    finished: bool
    peak_gpu_mb: float | None
    parameters: int
    latency_ms: float | None = None
    objective_se: float | None = None


class Trains(Protocol):
    """What trains an epoch at a time: a Run or a FoldedRun."""

    def train_epoch(self) -> EpochResult:
        """One epoch more."""
