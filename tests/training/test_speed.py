from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from raytune_app.data.arrays import Training
from raytune_app.models.catalog import build
from raytune_app.models.picture_classifier import PictureClassifier
from raytune_app.spec import parse
from raytune_app.training import timing
from raytune_app.training.examples import signature_of
from raytune_app.training.predict import predict
from raytune_app.training.run import Run, fit
from raytune_app.training.speed import Precision, Speed
from raytune_app.training.timing import choose_speed

MakeRun = Callable[..., Run]
CPU = torch.device("cpu")
EXPERIMENT = parse(
    {
        "name": "test",
        "data": {"name": "mnist"},
        "model": {"name": "tutorial_cnn", "channels": 4},
        "train": {"epochs": 2, "batch_size": 50},
    }
)


@pytest.mark.parametrize("speed", [Speed(), Speed(Precision.BF16, channels_last=True, compiled=True)])
def test_a_speed_survives_json(speed: Speed) -> None:
    assert Speed.from_dict(json.loads(json.dumps(speed.to_dict()))) == speed


@pytest.mark.parametrize("model", [{"name": "tutorial_cnn"}, {"name": "conv_net", "width": 8}])
@pytest.mark.parametrize("speed", [Speed(channels_last=True), Speed(Precision.BF16, channels_last=True)])
def test_every_speed_learns_the_same(make_run: MakeRun, model: dict[str, Any], speed: Speed) -> None:
    plain, other = (list(fit(make_run(model, speed=one)))[-1] for one in (Speed(), speed))
    tolerance = 1e-3 if speed.precision is Precision.FP32 else 0.1
    assert other.train_loss == pytest.approx(plain.train_loss, abs=tolerance)


def test_the_choice_is_the_fastest_measured_and_what_this_machine_has(
    data: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {Speed(): 100.0, Speed(channels_last=True): 200.0}
    monkeypatch.setattr(timing, "_race", lambda *_: dict(rates))
    choice = choose_speed(EXPERIMENT, data, CPU)
    assert choice.speed == Speed(channels_last=True)
    assert [row["examples_per_s"] for row in choice.measured] == [100.0, 200.0]
    rates[Speed(channels_last=True)] = 101.0
    assert choose_speed(EXPERIMENT, data, CPU).speed == Speed()


def test_the_choice_really_measures(data: Training) -> None:
    before = torch.random.get_rng_state()
    choice = choose_speed(EXPERIMENT, data, CPU)
    assert len(choice.measured) >= 2
    assert all(row["examples_per_s"] > 0 for row in choice.measured)
    assert choice.speed.to_dict() in [row["speed"] for row in choice.measured]
    assert json.loads(json.dumps(choice.measured)) == choice.measured
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_hiccup_discards_no_speed_and_a_hopeless_one_is_measured_twice(
    data: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warm-up and the rounds' rates of either speed, as a slow machine might show them."""
    rates = {False: iter([1.0, 40.0, 30.0]), True: iter([1.0, 10.0, 100.0, 120.0])}

    class Scripted:
        def __init__(self, *_: object, speed: Speed, **__: object) -> None:
            self._rates = rates[speed.channels_last]

        def train_epoch(self) -> SimpleNamespace:
            return SimpleNamespace(examples_per_s=next(self._rates))

    monkeypatch.setattr(timing, "Run", Scripted)
    monkeypatch.setattr(timing, "_has_bf16", lambda _: False)
    assert choose_speed(EXPERIMENT, data, CPU, trainings=0).speed == Speed(channels_last=True)
    assert [*rates[False], *rates[True]] == [], "a third round of the hopeless one would have raised"


def test_a_study_that_goes_on_elsewhere_keeps_its_precision(data: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    raced: list[Speed] = []

    def race(experiment: object, data: object, device: object, speeds: list[Speed]) -> dict[Speed, float]:
        raced.extend(speeds)
        return dict.fromkeys(speeds, 1.0)

    monkeypatch.setattr(timing, "_race", race)
    for has_bf16, precision, expected in (
        (True, Precision.BF16, {Precision.BF16}),
        (True, None, {Precision.FP32, Precision.BF16}),
        (False, Precision.BF16, {Precision.FP32}),
    ):
        raced.clear()
        monkeypatch.setattr(timing, "_has_bf16", lambda _, has=has_bf16: has)
        choose_speed(EXPERIMENT, data, CPU, trainings=0, precision=precision)
        assert {speed.precision for speed in raced} == expected


@pytest.mark.parametrize(
    ("compile_s", "trainings", "wins"), [(10.0, 100_000, True), (1e6, 100_000, False), (0.1, 1, False)]
)
def test_compilation_is_chosen_only_if_training_is_long_enough_to_pay_for_it(
    data: Training, monkeypatch: pytest.MonkeyPatch, compile_s: float, trainings: int, wins: bool
) -> None:
    monkeypatch.setattr(timing, "_race", lambda *_: {Speed(): 1000.0})
    monkeypatch.setattr(timing, "_can_compile", lambda _: True)
    monkeypatch.setattr(timing, "_compiled", lambda *_: {"speed": {}, "examples_per_s": 2000.0, "compile_s": compile_s})
    assert choose_speed(EXPERIMENT, data, CPU, trainings=trainings).speed.compiled is wins


def test_a_compiler_that_fails_is_recorded_and_not_chosen(data: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler\nand much more")

    monkeypatch.setattr(timing, "_race", lambda *_: {Speed(): 1.0})
    monkeypatch.setattr(timing, "_can_compile", lambda _: True)
    monkeypatch.setattr(torch, "compile", refuse)
    choice = choose_speed(EXPERIMENT, data, CPU)
    assert choice.speed == Speed()
    assert choice.measured[-1]["error"] == "RuntimeError: no compiler"


def test_predictions_are_probabilities_and_leave_no_trace(data: Training) -> None:
    classifier = build(EXPERIMENT.model, signature_of(EXPERIMENT, data), 0)
    assert isinstance(classifier, PictureClassifier)
    images = data.pictures[1].images
    probabilities = predict(classifier, images, device=CPU, batch_size=70)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (240, 10)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert np.array_equal(probabilities, predict(classifier, images, device=CPU, batch_size=70))
    assert np.allclose(probabilities, predict(classifier, images, device=CPU, batch_size=240), atol=1e-5)
    assert len(predict(classifier, images[:0], device=CPU)) == 0
