"""Arrays as tensors on the device: mapped without a copy on a CPU, kept as uint8 on a GPU for the process's next trials."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytune_app.data.arrays import Arrays, Training

_on_gpu: dict[tuple[str, str, int, int], tuple[Pictures, Pictures]] = {}
"""The last data of each GPU; another study's data takes its place."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Labelled pictures on one device: images uint8 [N, C, H, W], labels int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, arrays: Arrays, device: torch.device) -> Pictures:
        return cls(view(arrays.images).to(device), view(arrays.labels).to(device))

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels at int64 `indices` [B], which lie on the same device."""
        return self.images.index_select(0, indices), self.labels.index_select(0, indices)
