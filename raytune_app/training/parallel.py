"""One configuration trained by several processes on different parts of each batch; pure torch.distributed, no Ray."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Optimizer

from raytune_app.data.arrays import Training
from raytune_app.models.catalog import Classifier
from raytune_app.spec.grammar import Experiment, Metric
from raytune_app.training.latency import latency_ms
from raytune_app.training.optimizers import build_optimizer, set_lr
from raytune_app.training.parallel_norm import share_batch_norms
from raytune_app.training.penalties import add_penalties
from raytune_app.training.run import MODEL, OPTIMIZER, Run, build_classifier
from raytune_app.training.seeds import Purpose, derive, generator
from raytune_app.training.speed import Speed
from raytune_app.training.step import Step, Tally


class ParallelRun(Run):
    """One rank of a training that a whole process group does; every rank must call the same methods in step.

    `train.batch_size` is that of all ranks together. Order, augmentation and the part of each batch that counts are
    those of a Run, so weights and results equal a Run's up to rounding, batch norm included, whose statistics are taken
    over all ranks. Two things differ: dropout, of which each rank draws its own, and `examples_per_s`, which counts all
    ranks' examples. Augmentation is drawn for the whole batch by every rank, and every rank scores the whole validation
    part. The network is never compiled; under fsdp its pictures are never laid out channels last.

    The state is whole on every rank and is that of a Run, so either goes on from the other's.

    Args:
        experiment: resolved, with `parallel`.
        data: all of it, on every rank.
        seed: as for a Run.
        device: this rank's own.
        speed: how to compute.

    Raises:
        DataError: a batch is larger than the training part.
        InputError: the network cannot be built.
    """

    _step: ParallelStep

    def __init__(
        self, experiment: Experiment, data: Training, *, seed: int, device: torch.device, speed: Speed
    ) -> None:
        assert dist.is_initialized(), "a ParallelRun lives in a process group"
        assert experiment.parallel is not None
        shards = experiment.parallel.kind == "fsdp"
        plain = replace(speed, compiled=False, channels_last=speed.channels_last and not shards)
        super().__init__(experiment, data, seed=seed, device=device, speed=plain)
        self._data = data
        self._norms = share_batch_norms(self.classifier)
        if shards:
            fully_shard(self.classifier, mesh=init_device_mesh(device.type, (dist.get_world_size(),)))
            self._optimizer = _sharded_optimizer(experiment, self.classifier)
            self.classifier.register_state_dict_post_hook(_make_model_whole)  # type: ignore[no-untyped-call]  # torch
            self._optimizer.register_state_dict_post_hook(_make_optimizer_whole)
        self._step = ParallelStep(self.classifier, self._optimizer, experiment, plain, self._weights)

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from a whole state, as Run does; every rank is given the same one."""
        weights = {MODEL + name: weight for name, weight in self.classifier.named_parameters()}
        for index, weight in enumerate(self.classifier.parameters()):
            own = f"{OPTIMIZER}{index}."
            weights |= {name: weight for name in tensors if name.startswith(own)}
        super().load_state({name: _laid_out_as(weights.get(name), value) for name, value in tensors.items()}, values)

    def _train_batches(self) -> Tally:
        """One pass over the training part, of which this rank computes its own; stops early if the loss is lost."""
        self._draw_own_dropout()
        order_rng = generator(self._seed, self.epoch, Purpose.ORDER, torch.device("cpu"))
        rng = generator(self._seed, self.epoch, Purpose.AUGMENTATION, self._device)
        tally = SharedTally(self._device)
        first = self.epoch * self.steps_per_epoch
        for step, indices in enumerate(self._train.order(self._batch_size, order_rng)):
            set_lr(self._optimizer, self._lr(first + step))
            self._train_batch(indices, rng, tally)
            if (step + 1) % 100 == 0 and self._is_senseless(tally.loss):
                break
        return tally

    def _train_batch(self, indices: Tensor, rng: torch.Generator, tally: SharedTally) -> None:
        """A batch of fewer examples than ranks is trained on by each of them whole."""
        ranks, rank = dist.get_world_size(), dist.get_rank()
        whole = len(indices) < ranks
        images, labels = self._part(indices, rng, 1 if whole else ranks, 0 if whole else rank)
        for norm in self._norms:
            norm.alone = whole
        share = 1.0 if whole else self._counted(labels) / self._counted(self._train.labels[indices])
        loss, logits = self._step.learn(images, labels, 1.0 if whole else ranks * share)
        tally.count += len(indices)
        if not whole or rank == 0:
            tally.add_part(share * len(indices) * loss, logits, labels)

    def _counted(self, labels: Tensor) -> float:
        """What these examples count together in the loss."""
        return len(labels) if self._weights is None else float(self._weights[labels].sum())

    def _part(self, indices: Tensor, rng: torch.Generator, parts: int, index: int) -> tuple[Tensor, Tensor]:
        """One part of a batch, augmented by the random numbers of the whole batch."""
        own = torch.tensor_split(indices, parts)[index]
        if self._augment.is_off:
            return self._train.take(own)
        images, _ = self._train.take(indices)
        return torch.tensor_split(self._augment(images, rng), parts)[index], self._train.take(own)[1]

    def _draw_own_dropout(self) -> None:
        """From here to the end of the epoch, which puts torch's generators back."""
        own = derive(derive(self._seed, self.epoch, Purpose.NETWORK), dist.get_rank(), Purpose.NETWORK)
        torch.default_generator.manual_seed(own)
        if self._device.type == "cuda":
            with torch.cuda.device(self._device):
                torch.cuda.manual_seed(own)

    def _measure_latency(self) -> None:
        """On a network of its own: this one may be in pieces, and the other ranks do not time it."""
        asked = any(each.metric == Metric.LATENCY_MS for each in self._experiment.objectives)
        if asked and self.latency_ms is None and dist.get_rank() == 0:
            example, _ = next(self._validation.batches(1))
            self.latency_ms = latency_ms(build_classifier(self._experiment, self._data, self._seed), example)


class ParallelStep(Step):
    """Forward, backward, the mean of the gradients over the ranks, penalties, clipping, update."""

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        experiment: Experiment,
        speed: Speed,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(classifier, optimizer, experiment.train, speed, class_weights)
        assert experiment.parallel is not None
        is_custom = experiment.model.name == "custom"  # and may have parameters that it does not use
        self._shared = classifier if experiment.parallel.kind == "fsdp" else _averaging(classifier, partly=is_custom)

    def learn(self, images: Tensor, labels: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """Learn from this rank's part, whose mean loss counts `weight` in the mean over the ranks.

        Returns the part's mean loss and its logits [B, K], both detached.
        """
        self._shared.train()
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self._bf16):
            logits = self._shared(images)
        loss = F.cross_entropy(logits.float(), labels, weight=self._class_weights, label_smoothing=self._smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        (weight * loss).backward()  # type: ignore[no-untyped-call]  # torch
        add_penalties(self._weights, l1=self._l1, l2=self._l2)
        if self._clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._classifier.parameters(), self._clip_norm)
        self._optimizer.step()
        if self._constrain is not None:
            self._constrain()
        return loss.detach(), logits.detach()


class SharedTally(Tally):
    """An epoch's sums over all ranks; `count` is that of whole batches, and reading a mean waits for every rank."""

    def add_part(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add this rank's part of a batch: its part of the summed loss, logits [B, K] and labels [B]."""
        self._loss += loss
        self._right += (logits.argmax(1) == labels).sum()

    @property
    def loss(self) -> float:
        return _sum(self._loss) / max(self.count, 1)

    @property
    def accuracy(self) -> float:
        return _sum(self._right) / max(self.count, 1)


def _averaging(classifier: Classifier, *, partly: bool) -> nn.Module:
    """The same network, whose gradients become means over the ranks; the ranks' buffers are equal as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a newer name for broadcast_buffers, unknown to torch 2.6
        return DistributedDataParallel(classifier, broadcast_buffers=False, find_unused_parameters=partly)


def _sharded_optimizer(experiment: Experiment, classifier: Classifier) -> Optimizer:
    """Torch has no fused SGD for parameters in pieces."""
    optimizer = build_optimizer(experiment.train, classifier.parameters())
    if isinstance(optimizer, SGD):
        for group in optimizer.param_groups:
            group["fused"] = False
    return optimizer


def _sum(own: Tensor) -> float:
    total = own.clone()
    dist.all_reduce(total)
    return float(total)


def _whole(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _make_model_whole(module: Any, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    state.update({name: _whole(value) for name, value in state.items()})


def _make_optimizer_whole(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    remembered = state["state"].items()
    return {**state, "state": {index: {k: _whole(v) for k, v in each.items()} for index, each in remembered}}


def _laid_out_as(weight: Tensor | None, value: Tensor) -> Tensor:
    """In pieces like the weight, if it is in pieces and has this shape."""
    if not isinstance(weight, DTensor) or weight.shape != value.shape:
        return value
    there = value.to(weight.device)
    return distribute_tensor(there, weight.device_mesh, weight.placements, src_data_rank=None)
