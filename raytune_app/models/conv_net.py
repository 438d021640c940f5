"""A plain network: blocks of convolution, batch norm, activation, max pooling and dropout, then a linear layer."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Literal, cast

from torch import Tensor, nn

from raytune_app.errors import InputError
from raytune_app.models.pooling import ConvPoolFirst, MaxPool2

Activation = Literal["relu", "gelu", "silu"]

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class ConvNet(nn.Module):
    """Pictures [B, C, S, S] to logits [B, K].

    Args:
        in_channels: C.
        image_size: S, in pixels; each block halves it.
        classes: K.
        blocks: how many.
        width: channels of the first block; each further block has twice as many.
        kernel: side of the convolutions, odd.
        batch_norm: between convolution and activation.
        dropout: probability of zeroing an activation after each block.
        activation: after each convolution.

    Raises:
        InputError: the pictures are too small for so many halvings.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        classes: int,
        blocks: int = 2,
        width: int = 32,
        kernel: int = 3,
        batch_norm: bool = True,
        dropout: float = 0.0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        side = image_size >> blocks
        if side == 0:
            raise InputError(
                f"model.blocks: {blocks} blocks halve {image_size} pixels to nothing",
                f"use at most {image_size.bit_length() - 1} blocks or a larger data.image_size",
            )
        widths = [in_channels, *(width << block for block in range(blocks))]
        block = partial(_block, kernel=kernel, batch_norm=batch_norm, dropout=dropout, activation=activation)
        self.blocks = nn.Sequential(*(block(channels, channels_out) for channels, channels_out in pairwise(widths)))
        self.linear = nn.Linear(widths[-1] * side**2, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        return cast("Tensor", self.linear(self.blocks(pictures).flatten(1)))


def _block(
    channels: int, width: int, *, kernel: int, batch_norm: bool, dropout: float, activation: Activation
) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=not batch_norm)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(width))
    act = _ACTIVATIONS[activation]()
    # ReLU never falls, so it may follow the pooling: the same values from a quarter of the work
    layers += [MaxPool2(), act] if activation == "relu" else [act, MaxPool2()]
    if dropout:
        layers.append(nn.Dropout(dropout))
    return ConvPoolFirst(*layers) if isinstance(layers[1], MaxPool2) else nn.Sequential(*layers)
