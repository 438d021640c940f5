"""One trial's training: `Run` holds what changes, `fit` drives it. Pure PyTorch, no Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raytune_app.data.arrays import Training
from raytune_app.data.folds import fold_count
from raytune_app.errors import DataError
from raytune_app.models.catalog import Classifier, build, parameter_count
from raytune_app.spec.grammar import Experiment, Metric
from raytune_app.training.augmentation import augmentation_of
from raytune_app.training.examples import Placed, encoded, place_examples, pretrained_for, signature_of
from raytune_app.training.latency import latency_ms
from raytune_app.training.memory import keep_freed_memory
from raytune_app.training.metrics import Counts, Scores
from raytune_app.training.optimizers import build_optimizer, join_state, set_lr, split_state
from raytune_app.training.patience import Patience
from raytune_app.training.result import EpochResult, Trains
from raytune_app.training.schedules import lr_factor
from raytune_app.training.seeds import Purpose, generator, network_randomness
from raytune_app.training.speed import Speed
from raytune_app.training.step import Step, Tally, class_weights
from raytune_app.training.validation import validate

MODEL = "model."
OPTIMIZER = "optimizer."

EXPLODED = 1000.0
"""A mean loss this many times that of blind guessing counts as diverged."""

_CHECK_EVERY = 100
"""Steps between looks at the loss: an epoch that has become NaN ends early."""


def build_classifier(experiment: Experiment, data: Training, seed: int | None = None) -> Classifier:
    """The network of a resolved experiment on these data.

    Args:
        seed: of its weights; None where stored ones are loaded next, so that no file of vectors is read either.

    Raises:
        InputError: it cannot be built.
        DataError: its vectors cannot be read.
    """
    signature = signature_of(experiment, data)
    pretrained = None if seed is None else pretrained_for(experiment.model, signature)
    return build(experiment.model, signature, seed or 0, pretrained)


def weights_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's weights among the tensors of `Run.state`, for `load_state_dict`."""
    return _below(MODEL, tensors)


class Run:
    """The training of one configuration, an epoch at a time.

    Everything random follows from (`seed`, epoch), so a run that loads the state saved after epoch k goes on with
    bit-identical epochs k + 1, k + 2, ... on the same device and speed.

    Args:
        experiment: resolved, without search domains.
        data: the training and validation parts; may be read-only.
        seed: of weights, order, augmentation and dropout.
        device: where to train.
        speed: how to compute.
        parts: other training and validation examples than those of `data`, already on the device.

    Attributes:
        epoch: epochs trained so far.
        table: the confusion table int64 [K, K] of the last epoch's validation, row = truth.
        latency_ms: as in EpochResult; measured at the first epoch if an objective asks for it and it is still None.

    Raises:
        DataError: a batch is larger than the training part.
        InputError: the network cannot be built.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Training,
        *,
        seed: int,
        device: torch.device,
        speed: Speed,
        parts: tuple[Placed, Placed] | None = None,
    ) -> None:
        _check_batch(experiment, len(parts[0] if parts else data.train))
        self.epoch = 0
        self.latency_ms: float | None = None
        self._experiment, self._seed, self._device = experiment, seed, device
        data = encoded(experiment.model, data)
        self._train, self._validation = parts or place_examples(data, device)
        self._classes = len(data.classes)
        self.table: Counts = np.zeros((self._classes, self._classes), np.int64)
        self.classifier = build_classifier(experiment, data, seed).to(device)
        if speed.channels_last:
            self.classifier.to(memory_format=torch.channels_last)
        self._augment = augmentation_of(experiment.augment, self.classifier.signature)
        self._optimizer = build_optimizer(experiment.train, self.classifier.parameters())
        self._weights = class_weights(experiment.train, self._train.labels, self._classes)
        self._step = Step(self.classifier, self._optimizer, experiment.train, speed, self._weights)
        self._patience = Patience(experiment)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            keep_freed_memory()

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self._train) / self._batch_size)

    def train_epoch(self) -> EpochResult:
        """Train one epoch, then score the validation part. Never raises because the loss is not finite."""
        self._measure_latency()
        started = time.perf_counter()
        with network_randomness(self._seed, self.epoch, self._device):
            tally = self._train_batches()
        train_loss = tally.loss  # waits for the device, so the time is that of the work, not of handing it out
        trained_s = time.perf_counter() - started
        loss, self.table = validate(self.classifier, self._validation, self._classes)
        self.epoch += 1
        diverged = self._is_senseless(train_loss) or self._is_senseless(loss)
        scores = Scores.of(self.table)
        result = EpochResult(
            epoch=self.epoch,
            train_loss=train_loss,
            train_accuracy=tally.accuracy,
            loss=loss,
            accuracy=scores.accuracy,
            macro_precision=scores.macro_precision,
            macro_recall=scores.macro_recall,
            macro_f1=scores.macro_f1,
            examples_per_s=tally.count / trained_s,
            epoch_s=time.perf_counter() - started,
            lr=self._lr(self.epoch * self.steps_per_epoch - 1),
            diverged=diverged,
            finished=diverged or self.epoch >= self._experiment.train.epochs,
            peak_gpu_mb=self._peak_gpu_mb(),
            parameters=parameter_count(self.classifier),
            latency_ms=self.latency_ms,
        )
        is_over = self._patience.is_over(getattr(result, self._experiment.objective.metric), self.epoch)
        return replace(result, finished=result.finished or is_over)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that later epochs depend on: tensors (`model.*`, `optimizer.*`) for safetensors, and values for JSON."""
        remembered, values = split_state(self._optimizer)
        tensors = {MODEL + name: tensor for name, tensor in self.classifier.state_dict().items()}
        tensors |= {OPTIMIZER + name: tensor for name, tensor in remembered.items()}
        return {name: _copy(tensor) for name, tensor in tensors.items()}, {
            "epoch": self.epoch,
            "best": self._patience.state(),
            "optimizer": values,
            "latency_ms": self.latency_ms,
        }

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from a state. Hyperparameters stay those of this run's own experiment, which PBT relies on."""
        self.classifier.load_state_dict(weights_of(tensors))
        join_state(self._optimizer, _below(OPTIMIZER, tensors), values["optimizer"])
        self.epoch = int(values["epoch"])
        self._patience.load_state(values["best"])
        self.latency_ms = values.get("latency_ms")

    @property
    def _batch_size(self) -> int:
        return int(self._experiment.train.batch_size)

    def _train_batches(self) -> Tally:
        """One pass over the training part; stops early if the loss is lost."""
        order_rng = generator(self._seed, self.epoch, Purpose.ORDER, torch.device("cpu"))
        rng = generator(self._seed, self.epoch, Purpose.AUGMENTATION, self._device)
        tally = Tally(self._device)
        first = self.epoch * self.steps_per_epoch
        for step, indices in enumerate(self._train.order(self._batch_size, order_rng)):
            set_lr(self._optimizer, self._lr(first + step))
            inputs, labels = self._train.take(indices)
            tally.add(*self._step(self._augment(inputs, rng), labels), labels)
            if (step + 1) % _CHECK_EVERY == 0 and self._is_senseless(tally.loss):
                break
        return tally

    def _lr(self, step: int) -> float:
        train = self._experiment.train
        return float(train.lr) * lr_factor(train.schedule, step, train.epochs * self.steps_per_epoch)

    def _is_senseless(self, loss: float) -> bool:
        return not loss < EXPLODED * math.log(max(self._classes, 2))

    def _measure_latency(self) -> None:
        if self.latency_ms is None and any(each.metric == Metric.LATENCY_MS for each in self._experiment.objectives):
            example, _ = next(self._validation.batches(1))
            self.latency_ms = latency_ms(self.classifier, example)

    def _peak_gpu_mb(self) -> float | None:
        return torch.cuda.max_memory_allocated(self._device) / 2**20 if self._device.type == "cuda" else None


def fit(run: Trains) -> Iterator[EpochResult]:
    """Train to the end, one result an epoch; the last one has `finished` true."""
    while True:
        result = run.train_epoch()
        yield result
        if result.finished:
            return


def check_batch(experiment: Experiment, data: Training) -> None:
    """Raises DataError if a batch is larger than the training part, with folds than the smallest fold's."""
    count = len(data.train)
    if experiment.folds is not None:
        examples, folds = count + len(data.validation), fold_count(experiment, data)
        count = examples - math.ceil(examples / folds)
    _check_batch(experiment, count)


def _check_batch(experiment: Experiment, count: int) -> None:
    size = int(experiment.train.batch_size)
    if size > count:
        raise DataError(
            f"train.batch_size {size} is larger than the training part, {count} examples",
            "lower train.batch_size or raise data.train_limit",
        )


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
