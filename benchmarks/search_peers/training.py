"""The training that the peers of benchmarks/search.py share: a plain PyTorch loop, as in their own MNIST examples."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from benchmarks.search_peers.plan import Plan

MEAN, STD = 0.1307, 0.3081
MOMENTUM = 0.9
"""Of SGD."""

VALIDATION_BATCH = 1000

Batches = Iterable[tuple[Tensor, Tensor]]


class TwoConvolutions(nn.Module):
    """Pictures [B, 1, 28, 28] to [B, 10]: 3x3 to 32 and 64 channels, each with ReLU and max pooling; a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.linear = nn.Linear(64 * 7 * 7, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        hidden = F.max_pool2d(F.relu(self.conv1(pictures)), 2)
        hidden = F.max_pool2d(F.relu(self.conv2(hidden)), 2)
        return cast("Tensor", self.linear(hidden.flatten(1)))


def train(plan: Plan, trial: int) -> Iterator[float]:
    """Train configuration `trial`; yields the validation accuracy of each epoch, which is in the log by then."""
    torch.set_num_threads(1)
    torch.manual_seed(trial)
    config = plan.configs[trial]
    feed = loaders if plan.feed == "loader" else tensors
    to_train, to_validate = feed(plan, config["batch_size"])
    network = TwoConvolutions()
    optimizer = build_optimizer(network, config)
    for epoch in range(1, plan.epochs + 1):
        started = time.perf_counter()
        train_epoch(network, optimizer, to_train)
        accuracy = validate(network, to_validate)
        plan.record(trial, epoch, accuracy, time.perf_counter() - started)
        yield accuracy


def train_epoch(network: nn.Module, optimizer: Optimizer, batches: Batches) -> None:
    """One pass over the training part."""
    network.train()
    for pictures, labels in batches:
        optimizer.zero_grad()
        F.cross_entropy(network(pictures), labels).backward()  # type: ignore[no-untyped-call]  # torch
        optimizer.step()


def validate(network: nn.Module, batches: Batches) -> float:
    """The share of right answers."""
    network.eval()
    right = count = 0
    with torch.no_grad():
        for pictures, labels in batches:
            right += int((network(pictures).argmax(1) == labels).sum())
            count += len(labels)
    return right / count


def build_optimizer(network: nn.Module, config: dict[str, Any]) -> Optimizer:
    """By name, with torch's defaults for what the configuration leaves open."""
    common = {"lr": config["lr"], "weight_decay": config["weight_decay"]}
    match config["optimizer"]:
        case "adam":
            return Adam(network.parameters(), **common)
        case "adamw":
            return AdamW(network.parameters(), **common)
        case "sgd":
            return SGD(network.parameters(), momentum=MOMENTUM, **common)
    raise AssertionError(config["optimizer"])


def loaders(plan: Plan, batch_size: int) -> tuple[Batches, Batches]:
    """A DataLoader over torchvision's MNIST with its transforms, picture by picture."""
    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    mnist = datasets.MNIST(plan.data, train=True, transform=normalise)
    train_part, validation_part = (Subset(mnist, indices.tolist()) for indices in split(plan))
    return (
        DataLoader(train_part, batch_size=batch_size, shuffle=True),
        DataLoader(validation_part, batch_size=VALIDATION_BATCH),
    )


class Shuffled:
    """All pictures in memory, in a new order each time it is gone through."""

    def __init__(self, pictures: Tensor, labels: Tensor, batch_size: int) -> None:
        self._pictures, self._labels, self._batch_size = pictures, labels, batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.split(torch.randperm(len(self._labels)), self._batch_size):
            yield self._pictures[chosen], self._labels[chosen]


def tensors(plan: Plan, batch_size: int) -> tuple[Batches, Batches]:
    """The same pictures, normalised once and kept in memory: faster than the peers' own examples."""
    mnist = datasets.MNIST(plan.data, train=True)
    pictures = ((mnist.data.float() / 255 - MEAN) / STD)[:, None]
    train_part, validation_part = ((pictures[indices], mnist.targets[indices]) for indices in split(plan))
    return Shuffled(*train_part, batch_size), Shuffled(*validation_part, VALIDATION_BATCH)


def split(plan: Plan) -> tuple[Tensor, Tensor]:
    """Indices int64 of the training and of the validation pictures."""
    train_part, validation_part = (np.load(Path(plan.data, f"{part}.npy")) for part in ("train", "validation"))
    return torch.from_numpy(train_part), torch.from_numpy(validation_part)
