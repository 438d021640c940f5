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
from raytune_app.data.folds import make_folds
from raytune_app.errors import DataError
from raytune_app.spec import Experiment, parse
from raytune_app.training import folded
from raytune_app.training import run as run_module
from raytune_app.training.folded import FoldedRun
from raytune_app.training.metrics import Scores, confusion
from raytune_app.training.pictures import Pictures
from raytune_app.training.result import EpochResult
from raytune_app.training.run import check_batch, fit
from raytune_app.training.speed import Speed

CPU = torch.device("cpu")
MakeFolded = Callable[..., FoldedRun]


@pytest.fixture(scope="module")
def few(data: Training) -> Training:
    """100 + 40 digits, ten classes with at least three each."""
    parts = [Arrays(part.images[:n], part.labels[:n]) for part, n in zip(data.pictures, (100, 40), strict=True)]
    return replace(data, train=parts[0], validation=parts[1])


@pytest.fixture(scope="module")
def tiny(data: Training) -> Training:
    """Twelve digits, zeros and ones."""
    chosen = np.flatnonzero(data.train.labels < 2)[:12]
    parts = data.train.take(chosen[:8]), data.train.take(chosen[8:])
    return replace(data, train=parts[0], validation=parts[1], classes=("0", "1"))


def experiment(k: Any = 3, model: dict[str, Any] | None = None, objective: Any = None, **train: Any) -> Experiment:
    sections = {
        "name": "test",
        "data": {"name": "mnist"},
        "model": model or {"name": "tutorial_cnn", "channels": 2},
        "train": {"epochs": 3, "batch_size": 20, "speed": "plain", **train},
        "folds": k,
    }
    return parse(sections | ({"objective": objective} if objective else {}))


@pytest.fixture(scope="module")
def make(few: Training) -> MakeFolded:
    def make(
        k: Any = 3, model: dict[str, Any] | None = None, *, data: Training | None = None, seed: int = 0, **train: Any
    ) -> FoldedRun:
        return FoldedRun(experiment(k, model, **train), data or few, seed=seed, device=CPU, speed=Speed())

    return make


def timeless(results: list[EpochResult]) -> list[dict[str, Any]]:
    return [asdict(replace(result, examples_per_s=0.0, epoch_s=0.0)) for result in results]


def weights(run: FoldedRun) -> dict[str, Tensor]:
    return run.state()[0]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def spied(run: FoldedRun, monkeypatch: pytest.MonkeyPatch) -> list[EpochResult]:
    """The folds' own results, as they come."""
    seen: list[EpochResult] = []
    for each in run.runs:

        def train_epoch(inner: Callable[[], EpochResult] = each.train_epoch) -> EpochResult:
            seen.append(inner())
            return seen[-1]

        monkeypatch.setattr(each, "train_epoch", train_epoch)
    return seen


def test_the_same_seed_gives_the_same_folds_to_the_bit_and_another_seed_others(make: MakeFolded) -> None:
    model = {"name": "conv_net", "blocks": 1, "width": 2, "dropout": 0.2}
    one, again, other = (make(3, model, seed=seed) for seed in (1, 1, 2))
    assert timeless(list(fit(one))) == timeless(list(fit(again)))
    assert same(weights(one), weights(again))
    list(fit(other))
    assert not same(weights(one), weights(other))


def test_each_fold_begins_with_weights_of_its_own(make: MakeFolded) -> None:
    first, second, _ = (run.classifier.state_dict() for run in make().runs)
    assert not same(first, second)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_resumed_folds_equal_uninterrupted_ones_to_the_bit(make: MakeFolded, optimizer: str) -> None:
    settings: dict[str, Any] = {"optimizer": optimizer, "momentum": 0.9, "schedule": "cosine", "patience": 3}
    whole = make(**settings)
    expected = list(fit(whole))
    first = make(**settings)
    first.train_epoch()
    tensors, values = first.state()
    second = make(**settings)
    second.load_state(load(save(tensors)), json.loads(json.dumps(values)))
    assert timeless(list(fit(second))) == timeless(expected[1:])
    assert same(weights(second), weights(whole))


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_the_mean_and_its_standard_error_are_numpys_on_the_folds_own(
    make: MakeFolded, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    run = make(4, objective=metric_of(metric))
    seen = spied(run, monkeypatch)
    result = run.train_epoch()
    assert len(seen) == 4
    for name in ("loss", "accuracy", "train_loss", "train_accuracy"):
        assert getattr(result, name) == pytest.approx(np.mean([getattr(each, name) for each in seen]), rel=1e-12)
    own = [getattr(each, metric) for each in seen]
    assert result.objective_se == pytest.approx(np.std(own, ddof=1) / math.sqrt(4), rel=1e-12)
    assert result.objective_se
    assert result.parameters == seen[0].parameters


def metric_of(name: str) -> dict[str, str]:
    return {"metric": name}


def test_the_macro_scores_are_those_of_all_pictures_together(make: MakeFolded) -> None:
    run = make(3, objective=metric_of("macro_f1"))
    result = run.train_epoch()
    tables = np.array([each.table for each in run.runs])
    assert tables.sum() == 140
    pooled = Scores.of(tables.sum(axis=0))
    assert (result.macro_precision, result.macro_f1) == (pooled.macro_precision, pooled.macro_f1)
    without = [Scores.of(np.delete(tables, fold, axis=0).sum(axis=0)).macro_f1 for fold in range(3)]
    assert result.objective_se == pytest.approx(math.sqrt(2 / 3 * sum((f - np.mean(without)) ** 2 for f in without)))


def test_for_a_mean_the_jackknife_is_the_standard_error(make: MakeFolded) -> None:
    run = make(4)
    result = run.train_epoch()
    assert {int(each.table.sum()) for each in run.runs} == {35}
    assert run._jackknife("accuracy") == pytest.approx(result.objective_se, rel=1e-9)


def test_leaving_one_out_is_a_loop_over_the_pictures(make: MakeFolded, tiny: Training) -> None:
    run = make("loo", data=tiny, batch_size=4)
    result = run.train_epoch()
    pictures = np.concatenate([tiny.pictures[0].images, tiny.pictures[1].images])
    truth = np.concatenate([tiny.train.labels, tiny.validation.labels])
    answers = []
    for picture, each in zip(pictures, run.runs, strict=True):
        with torch.no_grad():
            answers.append(int(each.classifier.eval()(torch.tensor(picture[None])).argmax()))
    scores = Scores.of(confusion(truth, np.array(answers), 2))
    assert 0 < scores.accuracy < 1
    assert result.accuracy == pytest.approx(scores.accuracy)
    assert (result.macro_recall, result.macro_f1) == (scores.macro_recall, scores.macro_f1)


@pytest.mark.parametrize("fold", [0, 2])
def test_a_fold_never_learns_from_the_pictures_it_leaves_out(make: MakeFolded, few: Training, fold: int) -> None:
    left_out = make_folds(experiment(), few).left_out[fold]
    images = np.concatenate([few.pictures[0].images, few.pictures[1].images])
    images[left_out] = 255 - images[left_out]
    poisoned = replace(
        few, train=Arrays(images[:100], few.train.labels), validation=Arrays(images[100:], few.validation.labels)
    )
    clean, other = make(), make(data=poisoned)
    results = [clean.train_epoch(), other.train_epoch()]
    for place, (one, two) in enumerate(zip(clean.runs, other.runs, strict=True)):
        assert same(one.state()[0], two.state()[0]) == (place == fold)
    assert results[0].loss != results[1].loss


def test_all_folds_read_the_same_memory(make: MakeFolded) -> None:
    parts = [run._train for run in make().runs] + [run._validation for run in make(seed=9).runs]
    assert len({part.images.data_ptr() for part in parts if isinstance(part, Pictures)}) == 1
    assert all(isinstance(part, Pictures) for part in parts)


def test_one_lost_fold_is_a_lost_trial(make: MakeFolded, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make()
    inner = run.runs[1].train_epoch
    monkeypatch.setattr(run.runs[1], "train_epoch", lambda: replace(inner(), loss=math.inf, diverged=True))
    result = run.train_epoch()
    assert result.diverged
    assert result.finished
    assert result.loss == math.inf


def test_an_exploding_loss_is_no_exception(make: MakeFolded) -> None:
    results = list(fit(make(3, {"name": "conv_net", "batch_norm": False}, optimizer="sgd", lr=1e30)))
    assert results[-1].diverged


def test_patience_is_that_of_the_mean(make: MakeFolded) -> None:
    results = list(fit(make(lr=1e-30, patience=2, epochs=9)))
    assert [result.finished for result in results] == [False, False, True]


def test_patience_survives_a_resume_of_folds(make: MakeFolded) -> None:
    first, second = (make(lr=1e-30, patience=2, epochs=9) for _ in range(2))
    first.train_epoch()
    second.load_state(*first.state())
    assert [result.finished for result in fit(second)] == [False, True]


def test_the_rate_counts_the_pictures_of_all_folds(make: MakeFolded, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(2)
    for each, rate in zip(run.runs, (100.0, 300.0), strict=True):
        monkeypatch.setattr(
            each, "train_epoch", lambda inner=each.train_epoch, r=rate: replace(inner(), examples_per_s=r)
        )
    assert run.train_epoch().examples_per_s == pytest.approx(140 / (70 / 100 + 70 / 300))


def test_the_latency_is_measured_once(make: MakeFolded, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([2.5])
    monkeypatch.setattr(run_module, "latency_ms", lambda *_: next(taken))
    run = make(objective=[{"metric": "accuracy"}, {"metric": "latency_ms"}])
    assert [run.train_epoch().latency_ms, run.train_epoch().latency_ms] == [2.5, 2.5]
    assert [each.latency_ms for each in run.runs] == [2.5] * 3


def test_a_batch_larger_than_a_folds_part_is_refused_before_and_in_training(make: MakeFolded, few: Training) -> None:
    check_batch(experiment(3, batch_size=93), few)
    make(batch_size=93)
    with pytest.raises(DataError, match="batch_size 94 is larger than the training part, 93"):
        check_batch(experiment(3, batch_size=94), few)
    with pytest.raises(DataError, match="batch_size 94 is larger than the training part, 93"):
        make(batch_size=94)


def test_a_folds_state_is_that_of_its_run(make: MakeFolded) -> None:
    run = make()
    tensors, _ = run.state()
    assert {name.partition(".")[0] for name in tensors} == {"fold0", "fold1", "fold2"}
    assert same(folded.fold_state(tensors, 1), run.runs[1].state()[0])
