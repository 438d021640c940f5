"""Max pooling of 2x2 windows as the maximum of four strided slices: torch's own CPU kernel does not vectorise."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MaxPool2(nn.Module):
    """[B, C, H, W] to [B, C, H // 2, W // 2], equal to `nn.MaxPool2d(2)`; it has no parameters."""

    def forward(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2] // 2 * 2, pictures.shape[-1] // 2 * 2
        top, bottom = pictures[..., 0:height:2, :width], pictures[..., 1:height:2, :width]
        rows = torch.maximum(top, bottom)
        return torch.maximum(rows[..., 0::2], rows[..., 1::2])
