"""Arrays as tensors on the device: mapped without a copy on a CPU, kept as uint8 on a GPU for the next trials."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytune_app.data.arrays import Arrays, Training
from raytune_app.data.folds import Folds

_resident: dict[torch.device, tuple[object, tuple[Pictures, Pictures]]] = {}
"""The last data put on each GPU; other data takes its place."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Labelled pictures on one device: images uint8 [N, C, H, W], labels int64 [N].

    With `chosen`, int64 [M] on the same device, only the pictures at these indices, in this order; no copy is made.
    """

    images: Tensor
    labels: Tensor
    chosen: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels if self.chosen is None else self.chosen)

    @classmethod
    def of(cls, arrays: Arrays, device: torch.device) -> Pictures:
        """On a CPU the tensors are the arrays' own memory, which nothing may write to."""
        return cls(view(arrays.images).to(device), view(arrays.labels).to(device))

    def only(self, chosen: NDArray[np.int64]) -> Pictures:
        """The pictures at `chosen`, int64 [M], of the same memory."""
        assert self.chosen is None, "chosen from once already"
        return Pictures(self.images, self.labels, torch.tensor(chosen, device=self.labels.device))

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels at int64 `indices` [B], which lie on the same device."""
        if self.chosen is not None:
            indices = self.chosen.index_select(0, indices)
        return self.images.index_select(0, indices), self.labels.index_select(0, indices)

    def order(self, size: int, rng: torch.Generator) -> tuple[Tensor, ...]:
        """All indices once, at random, `size` at a time (the last fewer); drawn by `rng`, which is on the CPU."""
        return torch.split(torch.randperm(len(self), generator=rng).to(self.labels.device), size)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of all pictures in order, `size` at a time."""
        if self.chosen is None:
            yield from zip(torch.split(self.images, size), torch.split(self.labels, size), strict=True)
            return
        for indices in torch.split(self.chosen, size):
            yield self.images.index_select(0, indices), self.labels.index_select(0, indices)


def place(data: Training, device: torch.device) -> tuple[Pictures, Pictures]:
    """The training and the validation part on the device; a GPU is filled only once with the same data."""
    train, validation = data.pictures
    return _once(data, device, lambda: (Pictures.of(train, device), Pictures.of(validation, device)))


def place_fold(folds: Folds, fold: int, device: torch.device) -> tuple[Pictures, Pictures]:
    """The two parts of one fold, as indices into the same pictures for all folds, on the device once."""
    arrays = folds.union
    assert isinstance(arrays, Arrays), "texts"

    def union() -> tuple[Pictures, Pictures]:
        return (pictures := Pictures.of(arrays, device)), pictures

    everything, _ = _once(folds, device, union)
    return everything.only(folds.training(fold)), everything.only(folds.left_out[fold])


def _once(
    owner: object, device: torch.device, make: Callable[[], tuple[Pictures, Pictures]]
) -> tuple[Pictures, Pictures]:
    held = _resident.get(device)
    if held is not None and held[0] is owner:
        return held[1]
    _resident.pop(device, None)  # before the new data comes: both might not fit
    parts = make()
    if device.type == "cuda":
        _resident[device] = owner, parts
    return parts


def view(array: NDArray[Any]) -> Tensor:
    """A tensor on the array's memory, which may be read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writ", UserWarning)  # we only read it
        return torch.from_numpy(array)
