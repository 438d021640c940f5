"""A network with its preprocessing in front: raw pixels go in, so training and serving cannot drift apart."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raytune_app.models.signature import PictureSignature


class PictureClassifier(nn.Module):
    """Raw pixels [B, C, H, W] of any size, uint8 or float, 0 to 255, to logits [B, K].

    Args:
        network: normalised pictures float32 [B, C, S, S] to logits [B, K].
        signature: S, C, K and how to normalise.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, signature: PictureSignature) -> None:
        super().__init__()
        self.network = network
        self.signature = signature
        mean = torch.tensor(signature.mean, dtype=torch.float64).view(1, -1, 1, 1)
        std = torch.tensor(signature.std, dtype=torch.float64).view(1, -1, 1, 1)
        # (pixels / 255 - mean) / std as one multiply-add; not persistent: it follows from the signature
        self.register_buffer("scale", (1 / (255 * std)).float(), persistent=False)
        self.register_buffer("offset", (-mean / std).float(), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        fitted = fit(pixels, self.signature.image_size)
        return cast("Tensor", self.network(torch.addcmul(self.offset, fitted.to(self.scale.dtype), self.scale)))


def fit(pixels: Tensor, size: int) -> Tensor:
    """Pad with 0 or crop, at the centre, to [..., size, size]; an odd pixel goes to the right and the bottom."""
    height, width = pixels.shape[-2:]
    if height == size and width == size:
        return pixels
    margins = [pad for length in (width, height) for pad in _margins(length, size)]
    return F.pad(pixels, margins)


def _margins(length: int, size: int) -> tuple[int, int]:
    missing = size - length  # negative margins crop
    before = missing // 2 if missing >= 0 else -((-missing) // 2)
    return before, missing - before
