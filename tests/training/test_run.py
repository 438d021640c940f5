from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from raytune_app.data.arrays import Arrays, Training
from raytune_app.errors import DataError
from raytune_app.models.signature import PictureSignature
from raytune_app.spec import parse
from raytune_app.training.examples import signature_of
from raytune_app.training.pictures import Pictures
from raytune_app.training.result import EpochResult
from raytune_app.training.run import Run, fit
from raytune_app.training.speed import Speed

MakeRun = Callable[..., Run]

RICH: dict[str, Any] = {
    "model": {"name": "conv_net", "blocks": 2, "width": 4, "dropout": 0.2},
    "augment": {"crop_padding": 2, "flip": 0.5, "rotate": 10, "shift": 0.05, "scale": 0.1},
    "l1": 1e-5,
    "clip_norm": 1.0,
    "label_smoothing": 0.1,
}
OPTIMIZERS = [
    {"optimizer": "adam"},
    {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "one_cycle"},
    {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "lr": 0.01, "schedule": "cosine"},
    {"optimizer": "rmsprop", "momentum": 0.5},
]


def timeless(results: list[EpochResult]) -> list[dict[str, Any]]:
    """What two runs must share to the bit."""
    return [asdict(replace(result, examples_per_s=0.0, epoch_s=0.0)) for result in results]


def weights(run: Run) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.classifier.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def stored(state: tuple[dict[str, Tensor], dict[str, Any]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Through the files of a checkpoint and back."""
    return load(save(state[0])), json.loads(json.dumps(state[1]))


def test_the_loss_falls_and_digits_are_learned(make_run: MakeRun) -> None:
    results = list(fit(make_run(epochs=6)))
    losses = [result.train_loss for result in results]
    assert losses == sorted(losses, reverse=True)
    assert results[-1].loss < 0.5 * math.log(10)
    assert results[-1].accuracy > 0.75
    assert [result.epoch for result in results] == [1, 2, 3, 4, 5, 6]
    assert [result.finished for result in results] == [False] * 5 + [True]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda settings: str(settings["optimizer"]))
def test_every_optimizer_learns(make_run: MakeRun, optimizer: dict[str, Any]) -> None:
    results = list(fit(make_run(epochs=4, **optimizer)))
    assert results[-1].accuracy > 0.6
    assert results[-1].train_loss < results[0].train_loss


def test_the_same_seed_gives_the_same_results_to_the_bit_and_another_seed_others(make_run: MakeRun) -> None:
    one, again, other = (make_run(seed=seed, **RICH) for seed in (1, 1, 2))
    assert timeless(list(fit(one))) == timeless(list(fit(again)))
    assert same(weights(one), weights(again))
    list(fit(other))
    assert not same(weights(one), weights(other))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda settings: str(settings["optimizer"]))
@pytest.mark.parametrize("speed", [Speed(), Speed(channels_last=True)], ids=["plain", "channels_last"])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    make_run: MakeRun, optimizer: dict[str, Any], speed: Speed
) -> None:
    whole = make_run(speed=speed, **RICH, **optimizer)
    expected = list(fit(whole))
    first = make_run(speed=speed, **RICH, **optimizer)
    first.train_epoch()
    second = make_run(speed=speed, **RICH, **optimizer)
    second.load_state(*stored(first.state()))
    assert second.epoch == 1
    assert timeless(list(fit(second))) == timeless(expected[1:])
    assert same(weights(second), weights(whole))


def test_patience_survives_a_resume(make_run: MakeRun) -> None:
    first = make_run(lr=1e-12, patience=2, epochs=9)
    first.train_epoch()
    second = make_run(lr=1e-12, patience=2, epochs=9)
    second.load_state(*stored(first.state()))
    assert [result.finished for result in fit(second)] == [False, True]


def test_a_loaded_state_is_trained_with_the_new_hyperparameters(make_run: MakeRun) -> None:
    """What PBT relies on: the donor's weights and momenta, the receiver's own settings."""
    donor = make_run(optimizer="sgd", momentum=0.9, lr=0.05)
    donor.train_epoch()
    state = stored(donor.state())
    still = make_run(optimizer="sgd", momentum=0.0, lr=1e-30)
    still.load_state(*state)
    before = weights(still)
    assert still.train_epoch().lr == 1e-30
    assert same(weights(still), before)
    moving = make_run(optimizer="sgd", momentum=0.9, lr=0.02, weight_decay=0.1)
    moving.load_state(*state)
    group = moving._optimizer.param_groups[0]
    assert moving.train_epoch().lr == 0.02
    assert (group["weight_decay"], group["momentum"]) == (0.1, 0.9)
    assert not same(weights(moving), before)


def test_the_state_is_a_copy(make_run: MakeRun) -> None:
    run = make_run()
    run.train_epoch()
    tensors, _ = run.state()
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    run.train_epoch()
    assert same(tensors, kept)
    assert {name.partition(".")[0] for name in tensors} == {"model", "optimizer"}


def test_training_moves_no_random_state_but_its_own(make_run: MakeRun) -> None:
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    make_run(**RICH).train_epoch()
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tolist() == numpy_state  # type: ignore[index]  # noqa: NPY002


def test_the_shared_pictures_are_neither_copied_nor_written(make_run: MakeRun, data: Training) -> None:
    before = data.pictures[0].images.tobytes()
    run = make_run(**RICH)
    run.train_epoch()
    assert isinstance(run._train, Pictures) and isinstance(run._validation, Pictures)
    assert run._train.images.data_ptr() == data.pictures[0].images.ctypes.data
    assert run._validation.images.data_ptr() == data.pictures[1].images.ctypes.data
    assert data.pictures[0].images.tobytes() == before


def test_each_epoch_sees_every_picture_once_in_a_new_order(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = make_run(batch_size=70), list[Tensor]()
    take = Pictures.take

    def spy(pictures: Pictures, indices: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(indices)
        return take(pictures, indices)

    monkeypatch.setattr(Pictures, "take", spy)
    run.train_epoch()
    first = torch.cat(seen)
    seen.clear()
    run.train_epoch()
    assert [len(indices) for indices in seen] == [70, 70, 70, 70, 70, 10]
    assert sorted(first.tolist()) == sorted(torch.cat(seen).tolist()) == list(range(360))
    assert not torch.equal(first, torch.cat(seen))


@pytest.mark.parametrize("lr", [1e30, 1e4])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_exploding_loss_is_divergence_and_no_exception(make_run: MakeRun, optimizer: str, lr: float) -> None:
    results = list(fit(make_run({"name": "conv_net", "batch_norm": False}, optimizer=optimizer, lr=lr, epochs=5)))
    assert results[-1].diverged
    assert results[-1].finished
    assert len(results) <= 2


def test_a_lost_epoch_ends_early(make_run: MakeRun) -> None:
    run = make_run(batch_size=1, optimizer="sgd", lr=1e30)
    run.train_epoch()
    assert run._optimizer.state_dict()["param_groups"][0]["lr"] == 1e30
    tally = run._train_batches()
    assert tally.count == 100


def test_a_high_but_healthy_loss_is_no_divergence(make_run: MakeRun) -> None:
    assert not any(result.diverged for result in fit(make_run(lr=0.1)))


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_patience_ends_a_run_that_learns_no_more(make_run: MakeRun, metric: str) -> None:
    results = list(fit(make_run(lr=1e-30, patience=3, epochs=20, objective={"metric": metric})))
    assert len(results) == 4
    assert results[-1].finished
    assert not results[-1].diverged


def test_the_scores_are_those_of_the_network_on_the_validation_part(make_run: MakeRun, data: Training) -> None:
    run = make_run(speed=Speed(channels_last=True))
    result = run.train_epoch()
    with torch.no_grad():
        logits = run.classifier.eval()(torch.from_numpy(data.pictures[1].images.copy()))
    labels = torch.from_numpy(data.validation.labels.copy())
    assert result.accuracy == float((logits.argmax(1) == labels).double().mean())
    assert run.table.sum() == len(labels)
    assert run.table.trace() == int((logits.argmax(1) == labels).sum())
    assert result.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)


def test_a_batch_larger_than_the_data_is_refused(make_run: MakeRun) -> None:
    make_run(batch_size=360)
    with pytest.raises(DataError, match="batch_size 361 is larger than the training part, 360"):
        make_run(batch_size=361)


def test_the_signature_follows_from_the_data_and_the_asked_size(data: Training) -> None:
    sections = {"name": "test", "data": {"name": "mnist", "image_size": 32}, "model": {"name": "tutorial_cnn"}}
    signature = signature_of(parse(sections), data)
    assert isinstance(signature, PictureSignature)
    assert (signature.channels, signature.image_size, signature.classes) == (1, 32, tuple("0123456789"))
    assert (signature.mean, signature.std) == (data.mean, data.std)
    stored = signature_of(parse(sections | {"data": {"name": "mnist"}}), data)
    assert stored == replace(signature, image_size=28)


def test_pictures_larger_than_asked_are_cropped_and_train(data: Training) -> None:
    sections = {"name": "test", "data": {"name": "mnist", "image_size": 20}, "model": {"name": "tutorial_cnn"}}
    few = replace(data, train=Arrays(data.pictures[0].images[:200], data.train.labels[:200]))
    run = Run(parse(sections), few, seed=0, device=torch.device("cpu"), speed=Speed())
    assert not run.train_epoch().diverged
