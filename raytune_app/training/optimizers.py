"""The optimizers by name, and their state in tensors and plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch._dynamo  # torch.optim imports it at its first step, two seconds of it; here it can happen meanwhile
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from raytune_app.spec.grammar import TrainSpec


def build_optimizer(train: TrainSpec, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimizer with the experiment's hyperparameters, all parameters in one kernel where torch has one."""
    weights = list(parameters)
    lr, decay = float(train.lr), float(train.weight_decay)
    betas, eps, momentum = (float(train.beta1), float(train.beta2)), float(train.eps), float(train.momentum)
    match train.optimizer:
        case "adam":
            return Adam(weights, lr=lr, betas=betas, eps=eps, weight_decay=decay, fused=True)
        case "adamw":
            return AdamW(weights, lr=lr, betas=betas, eps=eps, weight_decay=decay, fused=True)
        case "sgd":
            return SGD(weights, lr=lr, momentum=momentum, nesterov=bool(train.nesterov), weight_decay=decay, fused=True)
        case "rmsprop":
            return RMSprop(weights, lr=lr, momentum=momentum, eps=eps, weight_decay=decay, foreach=True)
    raise AssertionError(train.optimizer)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Use this learning rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def split_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What the optimizer remembers: tensors by `<parameter>.<name>`, and the rest as plain values.

    Hyperparameters are not part of it: they are the experiment's.
    """
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for index, remembered in optimizer.state_dict()["state"].items():
        for name, value in remembered.items():
            (tensors if isinstance(value, Tensor) else values)[f"{index}.{name}"] = value
    return tensors, values


def join_state(optimizer: Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """The inverse of `split_state`; the optimizer keeps the hyperparameters it was built with."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**values, **tensors}.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = _laid_out_as(weights[int(index)], value)
    own = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": own})


def _laid_out_as(weight: Tensor, value: Any) -> Any:
    """The fused kernels walk weight and state side by side in memory, so both need the same strides."""
    if isinstance(value, Tensor) and value.shape == weight.shape:
        return torch.empty_like(weight, dtype=value.dtype).copy_(value)
    return value
