"""Encoded texts as tensors on the device, batched by length: little padding, and yet another order in each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytune_app.data.tokens import Encoded
from raytune_app.models.text_classifier import padded
from raytune_app.training.pictures import view

_POOL = 50
"""Batches that are drawn at random together and then sorted by length."""

_VALIDATION_TOKENS = 65_536


@dataclass(frozen=True, slots=True)
class Sentences:
    """Labelled texts on one device: ids int32 [T], starts and lengths int64 [N], labels int64 [N]."""

    ids: Tensor
    starts: Tensor
    lengths: Tensor
    labels: Tensor
    encoded: Encoded

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, encoded: Encoded, labels: NDArray[np.int64], device: torch.device) -> Sentences:
        """On a CPU ids and labels are the arrays' own memory, which nothing may write to."""
        starts = view(encoded.offsets[:-1]).to(device)
        return cls(
            view(encoded.ids).to(device), starts, view(encoded.lengths).to(device), view(labels).to(device), encoded
        )

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Ids int64 [B, L], padded at the end with 0, and labels at int64 `indices` [B], on the same device."""
        return padded(self.ids, self.starts[indices], self.lengths[indices]), self.labels[indices]

    def order(self, size: int, rng: torch.Generator) -> tuple[Tensor, ...]:
        """All indices once, in batches of `size` (the last drawn fewer) of texts of like length, in random order.

        Random pools of 50 batches are sorted by length, with ties at random, and cut into batches, whose order is drawn
        in turn; so which texts meet in a batch changes from epoch to epoch.
        """
        drawn = torch.randperm(len(self), generator=rng)
        lengths = torch.from_numpy(self.encoded.lengths)
        batches = [
            batch
            for pool in torch.split(drawn, _POOL * size)
            for batch in torch.split(pool[torch.argsort(lengths[pool], stable=True)], size)
        ]
        places = torch.randperm(len(batches), generator=rng).tolist()
        return tuple(batches[place].to(self.labels.device) for place in places)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Ids and labels of all texts, those of like length together, at most `size` and 65,536 tokens at a time."""
        for indices in self.encoded.batches(size, _VALIDATION_TOKENS):
            yield self.take(torch.from_numpy(indices).to(self.labels.device))
