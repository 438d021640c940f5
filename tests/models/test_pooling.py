from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raytune_app.models import pooling
from raytune_app.models.pooling import MaxPool2, conv_pool

SHAPES = [(5, 3, 8, 8), (5, 1, 7, 9), (1, 4, 2, 2), (3, 32, 32, 32)]


@pytest.fixture(autouse=True, params=[1, 3 * 2**20], ids=["picture by picture", "whole"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "_PIECE_BYTES", request.param)


def pictures(shape: tuple[int, ...], *, ties: bool) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    values = torch.randint(3, shape, generator=rng).float() if ties else torch.randn(shape, generator=rng)
    return values.to(memory_format=torch.channels_last).requires_grad_()


def values_and_gradients(function: Callable[[Tensor], Tensor], given: Tensor, *weights: Tensor) -> list[Tensor]:
    output = function(given)
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    return [output, *torch.autograd.grad(output, [given, *weights], direction)]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_equals_torchs_to_the_bit_and_of_ties_the_first_counts(shape: tuple[int, ...], ties: bool) -> None:
    given = pictures(shape, ties=ties)
    ours = values_and_gradients(MaxPool2(), given)
    theirs = values_and_gradients(lambda x: F.max_pool2d(x, 2), given)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    with torch.no_grad():
        assert torch.equal(MaxPool2()(given), theirs[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (3, 0), (1, 0), (5, 2)])
@pytest.mark.parametrize("shape", [(5, 3, 8, 8), (5, 1, 7, 9), (3, 32, 16, 16)])
def test_convolution_and_pooling_in_one_equal_torchs(
    shape: tuple[int, ...], kernel: int, padding: int, bias: bool
) -> None:
    given = pictures(shape, ties=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv = nn.Conv2d(shape[1], 6, kernel, padding=padding, bias=bias)
    weights = list(conv.parameters())
    ours = values_and_gradients(lambda x: conv_pool(x, conv), given, *weights)
    theirs = values_and_gradients(lambda x: F.max_pool2d(conv(x), 2), given, *weights)
    assert len(ours) == 3 + bias
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        assert torch.allclose(conv_pool(given, conv), theirs[0], atol=1e-5)


def test_not_a_number_comes_out_as_such() -> None:
    given = torch.zeros(1, 1, 2, 2)
    given[0, 0, 1, 0] = torch.nan
    assert torch.isnan(MaxPool2()(given)).all()
    assert torch.isnan(MaxPool2()(given.requires_grad_())).all()


def test_under_autocast_it_is_torchs_own() -> None:
    conv = nn.Conv2d(1, 4, 3, padding=1)
    given = torch.randn(2, 1, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(conv_pool(given, conv), F.max_pool2d(conv(given), 2))
        assert conv_pool(given, conv).dtype == torch.bfloat16
