from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from raytune_app.spec.grammar import TrainSpec
from raytune_app.training.optimizers import build_optimizer
from raytune_app.training.penalties import add_penalties, penalised
from raytune_app.training.run import Run

MakeRun = Callable[..., Run]


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))
    with torch.no_grad():
        net.get_parameter("0.weight")[0] = 0  # |w| has no slope there; torch says 0
    return net


@pytest.mark.parametrize(("l1", "l2"), [(0.1, 0.0), (0.0, 0.1), (0.2, 0.3)])
def test_the_gradient_is_that_of_the_penalised_loss(l1: float, l2: float) -> None:
    pictures, labels = (
        torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(1)),
        torch.tensor([0, 1, 0, 1, 1]),
    )
    ours, theirs = network(), network()
    torch.autograd.backward(F.cross_entropy(ours(pictures), labels))
    add_penalties(penalised(ours.parameters()), l1=l1, l2=l2)
    weights = [theirs.get_parameter("0.weight"), theirs.get_parameter("3.weight")]
    penalty = sum(l1 * weight.abs().sum() + l2 * weight.square().sum() for weight in weights)
    torch.autograd.backward(F.cross_entropy(theirs(pictures), labels) + penalty)
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-6), name


@pytest.mark.parametrize("penalty", [{"l1": 0.02}, {"l2": 0.2}, {"weight_decay": 0.4}])
def test_each_penalty_makes_the_weights_smaller(make_run: MakeRun, penalty: dict[str, float]) -> None:
    free, held = make_run(), make_run(**penalty)
    for run in (free, held):
        run.train_epoch()
    size = [sum(float(w.detach().abs().sum()) for w in penalised(run.classifier.parameters())) for run in (free, held)]
    assert size[1] < 0.95 * size[0]


def test_clipping_bounds_the_step(make_run: MakeRun) -> None:
    run = make_run(optimizer="sgd", lr=1.0, clip_norm=1e-3, batch_size=360)
    before = [weight.detach().clone() for weight in run.classifier.parameters()]
    run.train_epoch()
    moved = torch.cat([(a - b).flatten() for a, b in zip(run.classifier.parameters(), before, strict=True)])
    assert float(moved.detach().norm()) == pytest.approx(1e-3, rel=1e-3)


def test_label_smoothing_is_in_the_training_loss_only(make_run: MakeRun) -> None:
    """With weights that do not move, the training loss is smoothed cross entropy and the validation loss is not."""
    plain, smooth = (make_run(lr=1e-30, label_smoothing=value).train_epoch() for value in (0.0, 0.5))
    assert smooth.loss == plain.loss
    assert smooth.train_loss != pytest.approx(plain.train_loss, rel=1e-4)


def test_weight_decay_reaches_the_optimizer() -> None:
    optimizer = build_optimizer(TrainSpec(weight_decay=0.25), [nn.Parameter(torch.zeros(1))])
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
