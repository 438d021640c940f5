"""L1 and L2 penalties on the weights, put straight into the gradients: no graph, no extra pass.

For a loss + l1 * sum |w| + l2 * sum w^2 the gradient gains l1 * sign(w) + 2 * l2 * w. Biases and the scales of batch
norm, which have one dimension, are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


def penalised(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """The weights among the parameters: those with two dimensions or more."""
    return [parameter for parameter in parameters if parameter.ndim > 1 and parameter.requires_grad]


@torch.no_grad()
def add_penalties(weights: Sequence[nn.Parameter], *, l1: float, l2: float) -> None:
    """Add the penalties' gradient to the `grad` of each weight that has one."""
    held: list[nn.Parameter] = [weight for weight in weights if weight.grad is not None]
    if not held or not (l1 or l2):
        return
    values: list[Tensor] = list(held)
    gradients: list[Tensor] = [weight.grad for weight in held if weight.grad is not None]
    if l1:
        torch._foreach_add_(gradients, [value.sign() for value in values], alpha=l1)
    if l2:
        torch._foreach_add_(gradients, values, alpha=2 * l2)
