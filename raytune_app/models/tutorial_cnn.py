"""The tutorial's network: one convolution, one max pooling, one linear layer, no activation."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from raytune_app.models.pooling import conv_pool


class TutorialCnn(nn.Module):
    """Pictures [B, C, S, S] to logits [B, K]; the size of the linear layer follows from S.

    Args:
        in_channels: C.
        image_size: S, in pixels.
        classes: K.
        channels: filters of the convolution.
    """

    def __init__(self, *, in_channels: int, image_size: int, classes: int, channels: int = 32) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1)
        self.linear = nn.Linear(channels * (image_size // 2) ** 2, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        return _flat_linear(conv_pool(pictures, self.conv), self.linear)


def _flat_linear(hidden: Tensor, linear: nn.Linear) -> Tensor:
    """`linear(hidden.flatten(1))`; with channels last the weight is put in their order, a tenth of the copying."""
    if hidden.is_contiguous():
        return cast("Tensor", linear(hidden.flatten(1)))
    weight = linear.weight.view(-1, *hidden.shape[1:]).permute(0, 2, 3, 1)
    return F.linear(hidden.permute(0, 2, 3, 1).flatten(1), weight.flatten(1), linear.bias)
