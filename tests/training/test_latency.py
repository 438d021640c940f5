from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raytune_app.models.picture_classifier import PictureClassifier
from raytune_app.models.signature import PictureSignature
from raytune_app.training import run as run_module
from raytune_app.training.latency import latency_ms
from raytune_app.training.run import Run

BOTH = [{"metric": "accuracy"}, {"metric": "latency_ms"}]


class Spy(nn.Module):
    """Notes how it is called, and takes a known time on a clock of its own."""

    calls: list[tuple[bool, bool, int, tuple[int, ...]]] = []  # noqa: RUF012  # copies of the network share it

    def forward(self, pictures: Tensor) -> Tensor:
        state = self.training, torch.is_inference_mode_enabled(), torch.get_num_threads(), tuple(pictures.shape)
        self.calls.append(state)
        return pictures.flatten(1)[:, :2]


def test_a_copy_in_evaluation_mode_is_timed_picture_by_picture_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([*range(10), *[0.0, 0.004] * 26, *[0.0, 9.0] * 24])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    classifier = PictureClassifier(Spy(), PictureSignature(1, 4, ("a", "b"), (0.5,), (0.5,))).train()
    torch.set_num_threads(2)
    try:
        assert latency_ms(classifier, torch.zeros(1, 1, 4, 4, dtype=torch.uint8)) == pytest.approx(4)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert classifier.training
    assert set(Spy.calls) == {(False, True, 1, (1, 1, 4, 4))}
    assert len(Spy.calls) == 55


def test_latency_is_measured_once_if_an_objective_asks_for_it(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = iter([1.5, 2.5])
    monkeypatch.setattr(run_module, "latency_ms", lambda *_: next(taken))
    run = make_run(objective=BOTH)
    assert [run.train_epoch().latency_ms, run.train_epoch().latency_ms] == [1.5, 1.5]
    resumed = make_run(objective=BOTH)
    resumed.load_state(*run.state())
    assert resumed.train_epoch().latency_ms == 1.5
    assert make_run().train_epoch().latency_ms is None


def test_a_network_with_more_to_do_takes_longer_and_has_more_parameters(make_run: Callable[..., Run]) -> None:
    small, large = (
        make_run({"name": "conv_net", "blocks": blocks, "width": width}, objective=BOTH, epochs=1).train_epoch()
        for blocks, width in ((1, 2), (3, 128))
    )
    assert small.latency_ms is not None and large.latency_ms is not None
    assert 0 < small.latency_ms < large.latency_ms
    assert small.parameters == 1 * 2 * 9 + 2 * 2 + 2 * 14 * 14 * 10 + 10 < large.parameters
