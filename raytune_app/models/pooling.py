"""Max pooling of 2x2 windows, alone or right after a convolution, fast on a CPU; equal to torch's, gradients too.

torch's own CPU kernel for it does not vectorise: at the tutorial's sizes it takes more time than all the rest of a
training step. Here, with channels last in memory, the four pixels of a window are four strided slices, and everything
is arithmetic on whole slices. Where the maximum came from is kept as two slices of 0 and 1. The pictures go through in
pieces that stay in the processor's cache, so a convolution's output is never written to main memory at all.

On a GPU, under autocast and inside torch.compile it is torch's own max_pool2d.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_LAST = torch.channels_last

_PIECE_BYTES = 3 * 2**20
"""Of a convolution's output that one thread works on at once."""


class MaxPool2(nn.Module):
    """[B, C, H, W] to [B, C, H // 2, W // 2], equal to `nn.MaxPool2d(2)`; it has no parameters."""

    def forward(self, pictures: Tensor) -> Tensor:
        if not _is_ours(pictures):
            return F.max_pool2d(pictures, 2)
        if not torch.is_grad_enabled():
            return _largest(pictures)
        if pictures.is_contiguous(memory_format=_LAST):
            return cast("Tensor", _Pool.apply(pictures))
        return F.max_pool2d(pictures, 2)


class ConvPoolFirst(nn.Sequential):
    """Layers of which the first two are a convolution of stride 1 and a `MaxPool2`: these in one, then the others.

    Its parameters have the names they have in a plain Sequential; a slice of it would not begin with the two.
    """

    def forward(self, pictures: Tensor) -> Tensor:
        conv, _, *others = self
        hidden = conv_pool(pictures, cast("nn.Conv2d", conv))
        for layer in others:
            hidden = layer(hidden)
        return hidden


def conv_pool(pictures: Tensor, conv: nn.Conv2d) -> Tensor:
    """`max_pool2d(conv(pictures), 2)` for a convolution of stride 1: [B, C, H, W] to [B, D, H' // 2, W' // 2]."""
    if not _is_ours(pictures):
        return F.max_pool2d(conv(pictures), 2)
    assert conv.stride == conv.dilation == (1, 1), conv
    assert conv.groups == 1, conv
    assert isinstance(conv.padding, tuple), conv
    weight = conv.weight.clone(memory_format=_LAST)  # a copy: for one channel `contiguous` would change nothing
    if not torch.is_grad_enabled():
        step = _pieces(len(pictures), conv.out_channels * pictures.shape[2] * pictures.shape[3])
        parts = torch.split(pictures, step)
        pooled = torch.cat([_largest(torch.conv2d(part, weight, None, padding=conv.padding)) for part in parts])
    else:
        pooled = _ConvPool.apply(pictures, weight, conv.padding)
    # The largest of sums with one number is the sum with the largest: a quarter of the work, and of its gradient's
    return pooled if conv.bias is None else pooled + conv.bias[:, None, None]


def _is_ours(pictures: Tensor) -> bool:
    return (
        pictures.device.type == "cpu"
        and pictures.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pictures: Tensor) -> Tensor:
        pooled, right, low = _outputs(pictures)
        for part in _parts(pictures):
            _pool_piece(pictures[part], pooled[part], right[part], low[part])
        ctx.save_for_backward(right, low)
        ctx.shape = pictures.shape
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        right, low = ctx.saved_tensors
        result = _blank(ctx.shape)
        for part in _parts(result):
            _spread_piece(gradient[part], right[part], low[part], result[part])
        return result


class _ConvPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pictures: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        height, width = (
            side + 2 * pad - kernel + 1
            for side, pad, kernel in zip(pictures.shape[2:], padding, weight.shape[2:], strict=True)
        )
        shape = torch.Size((len(pictures), len(weight), height, width))
        pooled, right, low = _outputs(torch.empty(shape, device="meta"))
        for part in _parts_of(shape):
            convolved = torch.conv2d(pictures[part], weight, None, padding=padding)
            _pool_piece(convolved, pooled[part], right[part], low[part])
        ctx.save_for_backward(pictures, weight, right, low)
        ctx.shape, ctx.padding = shape, padding
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        pictures, weight, right, low = ctx.saved_tensors
        to_pictures = torch.empty_like(pictures) if ctx.needs_input_grad[0] else None
        to_weight = torch.zeros_like(weight)
        buffer: Tensor | None = None
        for part in _parts_of(ctx.shape):
            count = len(pictures[part])
            buffer = _blank((count, *ctx.shape[1:])) if buffer is None else buffer
            spread = buffer[:count]
            _spread_piece(gradient[part], right[part], low[part], spread)
            wanted = to_pictures is not None
            gradients = _conv_backward(spread, pictures[part], weight, ctx.padding, to_pictures=wanted)
            if to_pictures is not None:
                to_pictures[part] = gradients[0]
            to_weight += gradients[1]
        return to_pictures, to_weight, None


def _conv_backward(
    gradient: Tensor, pictures: Tensor, weight: Tensor, padding: tuple[int, int], *, to_pictures: bool
) -> tuple[Tensor, Tensor]:
    """The gradients for pictures, undefined if unwanted, and for the weight of a convolution of stride 1."""
    wanted = [to_pictures, True, False]
    to_input, to_weight, _ = torch.ops.aten.convolution_backward(
        gradient, pictures, weight, None, [1, 1], padding, [1, 1], False, [0, 0], 1, wanted
    )
    return to_input, to_weight


def _pool_piece(pictures: Tensor, pooled: Tensor, right: Tensor, low: Tensor) -> None:
    """Fill `pooled`, and where its values came from: `right` 1 for the window's right column, `low` for its lower row.

    Of equal pixels the first counts, as in torch.
    """
    a, b, c, d = _corners(pictures)
    upper, lower = torch.maximum(a, b), torch.maximum(c, d)
    torch.maximum(upper, lower, out=pooled)
    torch.gt(lower, upper, out=low)
    right_above = torch.gt(b, a, out=upper)  # float masks, and in place: only those comparisons are vectorised
    right_below = torch.gt(d, c, out=lower)
    torch.lerp(right_above, right_below, low, out=right)


def _spread_piece(gradient: Tensor, right: Tensor, low: Tensor, result: Tensor) -> None:
    """Put the pooled pixels' gradient where their values came from, and 0 elsewhere."""
    a, b, c, d = _corners(result)
    dense = gradient.contiguous(memory_format=_LAST)
    below = torch.mul(dense, low)
    above = torch.sub(dense, below)
    torch.mul(above, right, out=b)
    torch.sub(above, b, out=a)
    torch.mul(below, right, out=d)
    torch.sub(below, d, out=c)


def _largest(pictures: Tensor) -> Tensor:
    a, b, c, d = _corners(pictures)
    return torch.maximum(torch.maximum(a, b), torch.maximum(c, d))


def _corners(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The windows' upper left, upper right, lower left, lower right pixels; an odd last row or column is left out."""
    height, width = pictures.shape[2] // 2 * 2, pictures.shape[3] // 2 * 2
    upper, lower = pictures[:, :, 0:height:2], pictures[:, :, 1:height:2]
    return upper[..., 0:width:2], upper[..., 1:width:2], lower[..., 0:width:2], lower[..., 1:width:2]


def _outputs(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count, channels, height, width = pictures.shape
    shape = (count, channels, height // 2, width // 2)
    pooled, right, low = (torch.empty(shape, memory_format=_LAST) for _ in range(3))
    return pooled, right, low


def _blank(shape: tuple[int, ...]) -> Tensor:
    """To be filled by `_spread_piece`, which leaves out an odd last row or column: that is 0."""
    is_odd = bool(shape[2] % 2 or shape[3] % 2)
    blank = torch.empty(shape, memory_format=_LAST)
    return blank.zero_() if is_odd else blank


def _parts(pictures: Tensor) -> Iterator[slice]:
    return _parts_of(pictures.shape)


def _parts_of(shape: torch.Size) -> Iterator[slice]:
    step = _pieces(shape[0], shape[1] * shape[2] * shape[3])
    return (slice(start, start + step) for start in range(0, shape[0], step))


def _pieces(count: int, numbers: int) -> int:
    """How many of `count` pictures to take at once, if each becomes `numbers` float32: equal pieces, or nearly so."""
    pieces = round(4 * numbers * count / (_PIECE_BYTES * torch.get_num_threads()))
    return max(1, math.ceil(count / max(1, pieces)))
