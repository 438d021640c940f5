"""Random changes of a batch of pictures as tensor arithmetic on its device, each picture changed by itself.

Equal in distribution to torchvision's RandomHorizontalFlip, RandomCrop (with padding) and RandomAffine, in this order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from raytune_app.spec.grammar import AugmentSpec


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How training pictures are changed.

    Attributes:
        crop_padding: pixels of 0 on each side (more if `size` needs it) before a window is cut; 0: no cutting.
        flip: probability of mirroring left to right.
        shift: largest shift in each direction, a share of the picture's size, whole pixels as in torchvision.
        rotate: largest rotation either way, degrees.
        scale: sizes are drawn from [1 - scale, 1 + scale].
        size: side of the cut window, pixels.
    """

    crop_padding: int
    flip: float
    shift: float
    rotate: float
    scale: float
    size: int

    @classmethod
    def of(cls, augment: AugmentSpec, size: int) -> Augmentation:
        """From a resolved experiment's section and the picture size that the network sees."""
        return cls(
            crop_padding=int(augment.crop_padding),
            flip=float(augment.flip),
            shift=float(augment.shift),
            rotate=float(augment.rotate),
            scale=float(augment.scale),
            size=size,
        )

    @property
    def is_off(self) -> bool:
        return not (self.crop_padding or self.flip or self.shift or self.rotate or self.scale)

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Change pictures [B, C, H, W], 0 to 255; uint8 stays uint8 unless it is moved between pixels (then float32).

        Args:
            images: the batch; it is not written to.
            rng: on the device of the batch, the only source of randomness.
        """
        if self.flip:
            images = flip(images, _uniform(images, rng) < self.flip)
        if self.crop_padding:
            images = random_crop(images, self.size, self.crop_padding, rng)
        if self.shift or self.rotate or self.scale:
            images = self._random_affine(images.float(), rng)
        return images

    def _random_affine(self, images: Tensor, rng: torch.Generator) -> Tensor:
        height, width = images.shape[-2:]
        angle = (2 * _uniform(images, rng) - 1) * self.rotate
        right = ((2 * _uniform(images, rng) - 1) * self.shift * width).round()
        down = ((2 * _uniform(images, rng) - 1) * self.shift * height).round()
        scale = 1 + (2 * _uniform(images, rng) - 1) * self.scale
        return affine(images, angle, right, down, scale)


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror left to right the pictures [B, C, H, W] whose place in `chosen`, bool [B], is true."""
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def random_crop(images: Tensor, size: int, padding: int, rng: torch.Generator) -> Tensor:
    """Pad [B, C, H, W] by `padding` pixels of 0, and further to `size` if it is smaller, then cut windows at random."""
    height, width = images.shape[-2:]
    vertical, horizontal = (max(padding, math.ceil((size - side) / 2)) for side in (height, width))
    rows, columns = height + 2 * vertical - size + 1, width + 2 * horizontal - size + 1
    count = len(images)
    top = torch.randint(rows, (count,), generator=rng, device=images.device)
    left = torch.randint(columns, (count,), generator=rng, device=images.device)
    return crop(F.pad(images, (horizontal, horizontal, vertical, vertical)), top, left, size)


def crop(images: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """Cut [B, C, size, size] out of [B, C, H, W], picture b at row top[b] and column left[b]."""
    windows = images.unfold(2, size, 1).unfold(3, size, 1)  # a view: [B, C, tops, lefts, size, size]
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def affine(images: Tensor, angle: Tensor, right: Tensor, down: Tensor, scale: Tensor) -> Tensor:
    """Scale and rotate about the centre, then shift, all in one bilinear sampling; what comes from outside is 0.

    Args:
        images: float32 [B, C, H, W].
        angle: clockwise, degrees, [B].
        right: shift in pixels, [B].
        down: likewise.
        scale: factor, above 0, [B].
    """
    height, width = images.shape[-2:]
    cos, sin = (trig(torch.deg2rad(angle)) / scale for trig in (torch.cos, torch.sin))
    # from a target pixel back to its source, in pixels about the centre, then in grid_sample's units of half a side
    rows = [
        [cos, sin * (height / width), (-cos * right - sin * down) * (2 / width)],
        [-sin * (width / height), cos, (sin * right - cos * down) * (2 / height)],
    ]
    theta = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _uniform(images: Tensor, rng: torch.Generator) -> Tensor:
    return torch.rand(len(images), generator=rng, device=images.device)
