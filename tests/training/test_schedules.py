from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from raytune_app.training.schedules import lr_factor


def torchs(scheduler: Any, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = scheduler(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("steps", [10, 37, 1000])
def test_cosine_is_torchs(steps: int) -> None:
    expected = torchs(lambda optimizer: CosineAnnealingLR(optimizer, steps), steps)
    assert [lr_factor("cosine", step, steps) for step in range(steps)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("steps", [10, 37, 1000])
def test_one_cycle_is_torchs(steps: int) -> None:
    expected = torchs(lambda optimizer: OneCycleLR(optimizer, 1.0, steps, cycle_momentum=False), steps)
    assert [lr_factor("one_cycle", step, steps) for step in range(steps)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_short_trainings_have_rates_between_nothing_and_all(schedule: Any, steps: int) -> None:
    factors = [lr_factor(schedule, step, steps) for step in range(2 * steps)]  # beyond the end too
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) > 0.3
    if schedule == "constant":
        assert set(factors) == {1.0}
