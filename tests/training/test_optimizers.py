from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raytune_app.spec.grammar import TrainSpec
from raytune_app.training.optimizers import build_optimizer, join_state, split_state

COMMON: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.1}
CASES: list[tuple[dict[str, Any], type[torch.optim.Optimizer], dict[str, Any]]] = [
    ({"optimizer": "adam", "beta1": 0.8, "eps": 1e-3}, torch.optim.Adam, {"betas": (0.8, 0.999), "eps": 1e-3}),
    ({"optimizer": "adamw", "beta2": 0.9, "eps": 1e-3}, torch.optim.AdamW, {"betas": (0.9, 0.9), "eps": 1e-3}),
    ({"optimizer": "sgd", "momentum": 0.9, "nesterov": True}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    ({"optimizer": "rmsprop", "momentum": 0.5, "eps": 1e-3}, torch.optim.RMSprop, {"momentum": 0.5, "eps": 1e-3}),
]  # fmt: skip


def parameters() -> list[nn.Parameter]:
    rng = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=rng)) for shape in ((4, 3), (4,))]


def steps(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], count: int = 3) -> list[Tensor]:
    for step in range(count):
        for index, weight in enumerate(weights):
            weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(10 * step + index))
        optimizer.step()
    return [weight.detach().clone() for weight in weights]


@pytest.mark.parametrize(("settings", "kind", "arguments"), CASES, ids=[case[0]["optimizer"] for case in CASES])
def test_each_optimizer_steps_as_torchs_own_with_the_same_settings(
    settings: dict[str, Any], kind: type[torch.optim.Optimizer], arguments: dict[str, Any]
) -> None:
    ours, theirs = parameters(), parameters()
    mine = steps(build_optimizer(TrainSpec(**COMMON, **settings), ours), ours)
    reference: Any = kind
    expected = steps(reference(theirs, **COMMON, **arguments), theirs)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(mine, expected, strict=True))


@pytest.mark.parametrize("settings", [case[0] for case in CASES], ids=lambda settings: str(settings["optimizer"]))
def test_split_and_joined_state_goes_on_to_the_bit(settings: dict[str, Any]) -> None:
    train = TrainSpec(**COMMON, **settings)
    first = parameters()
    optimizer = build_optimizer(train, first)
    steps(optimizer, first)
    tensors, values = split_state(optimizer)
    assert tensors
    assert all(isinstance(value, Tensor) for value in tensors.values())
    second = [nn.Parameter(weight.detach().clone()) for weight in first]
    other = build_optimizer(train, second)
    join_state(other, {name: tensor.clone() for name, tensor in tensors.items()}, values)
    assert all(torch.equal(a, b) for a, b in zip(steps(optimizer, first), steps(other, second), strict=True))


def test_joining_keeps_the_receivers_settings() -> None:
    weights = parameters()
    donor = build_optimizer(TrainSpec(lr=0.5, beta1=0.1), weights)
    steps(donor, weights)
    receiver = build_optimizer(TrainSpec(lr=0.25, beta1=0.7), parameters())
    join_state(receiver, *split_state(donor))
    assert (receiver.param_groups[0]["lr"], receiver.param_groups[0]["betas"][0]) == (0.25, 0.7)
