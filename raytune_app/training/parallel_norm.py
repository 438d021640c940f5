"""Batch norm whose statistics are those of the whole batch, wherever its pictures are; on a CPU too."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SharedBatchNorm(_BatchNorm):
    """A batch norm that takes its mean and variance over the parts of all ranks; the parts may differ in size.

    Its state has the names of the original's. Every rank must call it as often as the others.

    Args:
        norm: the original, whose parameters and buffers it takes over.

    Attributes:
        alone: every rank has the whole batch, so there is nothing to add up.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.__dict__ |= {name: norm.__dict__[name] for name in ("_parameters", "_buffers")}
        self.training, self.alone = norm.training, False

    def forward(self, pictures: Tensor) -> Tensor:
        if self.alone or not self.training:
            return super().forward(pictures)
        values, shape = (
            pictures.to(torch.promote_types(pictures.dtype, torch.float32)),
            (1, -1, *[1] * (pictures.ndim - 2)),
        )
        over = [0, *range(2, pictures.ndim)]
        count = values.new_full((1,), values.numel() // self.num_features)
        sums = _added_up(torch.cat([values.sum(over), count]))
        total = sums[-1].detach()
        mean = sums[:-1] / total
        centred = values - mean.view(shape)
        variance = _added_up(centred.square().sum(over)) / total
        self._remember(mean.detach(), variance.detach() * total / (total - 1))
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(pictures.dtype)

    def _check_input_dim(self, pictures: Tensor) -> None:
        """Any number of dimensions: the original's users have found the right one."""

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.num_batches_tracked is None or self.running_mean is None or self.running_var is None:
            return
        self.num_batches_tracked += 1
        newest = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, newest)
        self.running_var.lerp_(variance, newest)


def share_batch_norms(module: nn.Module) -> list[SharedBatchNorm]:
    """Put a SharedBatchNorm in the place of every batch norm below `module`; returns them."""
    shared = []
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                shared.append(SharedBatchNorm(child))
                setattr(parent, name, shared[-1])
    return shared


class _AddUp(torch.autograd.Function):
    """The sum over the ranks; its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:  # noqa: ARG004  # torch's signature
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004  # the same
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _added_up(own: Tensor) -> Tensor:
    total: Tensor = _AddUp.apply(own)
    return total
