"""All randomness of training, derived from (seed, epoch, purpose): resuming needs no stored generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What the random numbers are for; each purpose has its own stream."""

    ORDER = 0
    AUGMENTATION = 1
    NETWORK = 2
    FOLD = 3


def derive(seed: int, epoch: int, purpose: Purpose) -> int:
    """A well-mixed 63-bit seed."""
    return int(np.random.SeedSequence([seed, epoch, purpose]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def fold_seed(seed: int, fold: int) -> int:
    """The seed of one fold's training, so that folds differ in their weights and orders too."""
    return derive(seed, fold, Purpose.FOLD)


def generator(seed: int, epoch: int, purpose: Purpose, device: torch.device) -> torch.Generator:
    """A generator on `device` of its own stream."""
    return torch.Generator(device).manual_seed(derive(seed, epoch, purpose))


@contextmanager
def network_randomness(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's global generators, which dropout draws from, are seeded; after it they are as they were."""
    value = derive(seed, epoch, Purpose.NETWORK)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(value)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(value)
        yield
