"""Arrays as tensors on the device: mapped without a copy on a CPU, kept as uint8 on a GPU for the next trials."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from raytune_app.data.arrays import Arrays, Training

_resident: dict[torch.device, tuple[Training, tuple[Pictures, Pictures]]] = {}
"""The last data put on each GPU; other data takes its place."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Labelled pictures on one device: images uint8 [N, C, H, W], labels int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, arrays: Arrays, device: torch.device) -> Pictures:
        """On a CPU the tensors are the arrays' own memory, which nothing may write to."""
        return cls(view(arrays.images).to(device), view(arrays.labels).to(device))

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels at int64 `indices` [B], which lie on the same device."""
        return self.images.index_select(0, indices), self.labels.index_select(0, indices)


def place(data: Training, device: torch.device) -> tuple[Pictures, Pictures]:
    """The training and the validation part on the device; a GPU is filled only once with the same data."""
    held = _resident.get(device)
    if held is not None and held[0] is data:
        return held[1]
    _resident.pop(device, None)  # before the new data comes: both might not fit
    parts = Pictures.of(data.train, device), Pictures.of(data.validation, device)
    if device.type == "cuda":
        _resident[device] = data, parts
    return parts


def view(array: NDArray[Any]) -> Tensor:
    """A tensor on the array's memory, which may be read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writ", UserWarning)  # we only read it
        return torch.from_numpy(array)
