from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from raytune_app.data.arrays import Training
from raytune_app.data.augment_text import TextAugmentation
from raytune_app.data.folds import make_folds
from raytune_app.data.vocabulary import UNKNOWN
from raytune_app.models.signature import TextSignature
from raytune_app.models.text_classifier import TextClassifier
from raytune_app.models.text_cnn import TextCnn
from raytune_app.spec import Experiment
from raytune_app.training import timing
from raytune_app.training.examples import encode_once, signature_of
from raytune_app.training.folded import FoldedRun
from raytune_app.training.result import EpochResult
from raytune_app.training.run import Run, build_classifier, fit
from raytune_app.training.sentences import Sentences
from raytune_app.training.speed import Precision, Speed
from raytune_app.training.timing import choose_speed, peak_gpu_mb

MakeRun = Callable[..., Run]
MakeExperiment = Callable[..., Experiment]
MakeTraining = Callable[..., Training]

CPU = torch.device("cpu")
CNN: dict[str, Any] = {"name": "text_cnn", "dimension": 6, "widths": (2, 3), "maps": 4, "dropout": 0.5}
RICH: dict[str, Any] = {
    "model": CNN,
    "augment": {"word_dropout": 0.2, "swap": 0.3},
    "optimizer": "adam",
    "class_weights": "balanced",
}
BOTH = [{"metric": "accuracy"}, {"metric": "latency_ms"}]


@pytest.fixture(scope="module")
def data(text_training: MakeTraining) -> Training:
    """60 + 20 texts of 1 to 12 of 30 words, of three classes of unlike size."""
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in range(30)]
    rows = [
        (" ".join(rng.choice(words, rng.integers(1, 13))), int(label)) for label in rng.choice(3, 80, p=[0.6, 0.3, 0.1])
    ]
    return text_training([*rows[:59], ("w1", 2)], rows[60:])


def timeless(results: list[EpochResult]) -> list[dict[str, Any]]:
    return [asdict(replace(result, examples_per_s=0.0, epoch_s=0.0)) for result in results]


def weights(run: Run) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.classifier.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trained(run: Run) -> TextClassifier:
    assert isinstance(run.classifier, TextClassifier)
    return run.classifier


def vocabulary(run: Run) -> set[str]:
    return set(trained(run).signature.tokenizer.vocabulary.tokens)


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(make_text_run: MakeRun, data: Training) -> None:
    whole = make_text_run(data, **RICH)
    expected = list(fit(whole))
    first, second = make_text_run(data, **RICH), make_text_run(data, **RICH)
    first.train_epoch()
    torch.rand(3)  # what others draw in between does not matter
    tensors, values = first.state()
    second.load_state(load(save(tensors)), json.loads(json.dumps(values)))
    assert timeless(list(fit(second))) == timeless(expected[1:])
    assert same(weights(second), weights(whole))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(make_text_run: MakeRun, data: Training) -> None:
    one, again, other = (make_text_run(data, seed=seed, **RICH) for seed in (1, 1, 2))
    expected = timeless(list(fit(one)))
    torch.rand(3)  # what others draw in between does not matter
    assert timeless(list(fit(again))) == expected
    assert same(weights(one), weights(again))
    list(fit(other))
    assert not same(weights(one), weights(other))


@pytest.mark.parametrize("setting", [{"word_dropout": 0.5}, {"swap": 0.5}])
def test_augmentation_changes_what_is_learnt(make_text_run: MakeRun, data: Training, setting: dict[str, float]) -> None:
    plain, changed = make_text_run(data, CNN), make_text_run(data, CNN, setting)
    assert same(weights(plain), weights(changed))
    plain.train_epoch(), changed.train_epoch()
    assert not same(weights(plain), weights(changed))


def test_every_epoch_and_every_seed_draws_changes_of_its_own(
    make_text_run: MakeRun, text_training: MakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = text_training([("four words a text", label) for label in (0, 1)] * 10)
    places: list[Tensor] = []

    def spied(self: TextAugmentation, ids: Tensor, rng: torch.Generator) -> Tensor:
        places.append(augment(self, ids, rng) == UNKNOWN)
        return ids

    augment = TextAugmentation.__call__
    monkeypatch.setattr(TextAugmentation, "__call__", spied)
    for seed in (0, 0, 1):
        run = make_text_run(data, augment={"word_dropout": 0.3}, seed=seed, batch_size=20)
        run.train_epoch(), run.train_epoch()
    first, second, again, _, other, _ = places
    assert torch.equal(first, again)
    assert not torch.equal(first, second) and not torch.equal(first, other)


def test_texts_that_were_encoded_once_train_to_the_same_bits(
    text_experiment: MakeExperiment, data: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = text_experiment(**RICH)
    alone = Run(experiment, data, seed=1, device=CPU, speed=Speed())
    shared = encode_once(experiment, data)
    assert shared.encoded is not None and data.encoded is None
    monkeypatch.setattr("raytune_app.training.examples.encode_texts", None)  # nobody encodes again
    run = Run(experiment, shared, seed=1, device=CPU, speed=Speed())
    assert run._train.encoded is shared.encoded.train  # type: ignore[union-attr]
    assert timeless(list(fit(run))) == timeless(list(fit(alone)))
    assert same(weights(run), weights(alone))


def test_each_trial_encodes_where_the_tokens_are_searched(text_experiment: MakeExperiment, data: Training) -> None:
    searched = text_experiment({"tokens": {"kind": {"choice": ["word", "char"]}}})
    assert encode_once(searched, data) is data
    assert encode_once(text_experiment(folds=3), data) is data
    other = encode_once(text_experiment({"tokens": {"kind": "char"}}), data)
    run = Run(text_experiment(), other, seed=0, device=CPU, speed=Speed())
    assert "w12" in vocabulary(run), "words, though the data came as characters"


def test_the_shared_texts_are_neither_copied_nor_written(text_experiment: MakeExperiment, data: Training) -> None:
    experiment = text_experiment(**RICH)
    shared = encode_once(experiment, data)
    assert shared.encoded is not None
    ids = shared.encoded.train.ids
    ids.flags.writeable = False
    before = ids.tobytes()
    run = Run(experiment, shared, seed=1, device=CPU, speed=Speed())
    run.train_epoch()
    assert isinstance(run._train, Sentences)
    assert run._train.ids.data_ptr() == ids.ctypes.data
    assert ids.tobytes() == before


def test_a_word_of_the_validation_part_alone_is_unknown(make_text_run: MakeRun, text_training: MakeTraining) -> None:
    data = text_training([("good film", 0), ("bad film", 1)], [("xenon film", 0), ("bad xenon", 1)])
    run = make_text_run(data, batch_size=2)
    assert vocabulary(run) == {"good", "film", "bad"}
    assert isinstance(run._validation, Sentences)
    known = {word: int(trained(run).encode([word]).ids[0]) for word in ("film", "bad")}
    assert run._validation.ids.tolist() == [UNKNOWN, known["film"], known["bad"], UNKNOWN]


def test_a_fold_knows_no_word_of_the_texts_it_leaves_out(
    text_experiment: MakeExperiment, text_training: MakeTraining
) -> None:
    data = text_training([(f"all only{number}", number % 2) for number in range(9)], [("all only9", 1)])
    experiment = text_experiment(folds=3, batch_size=2)
    run, folds = FoldedRun(experiment, data, seed=0, device=CPU, speed=Speed()), make_folds(experiment, data)
    for each, left_out in zip(run.runs, folds.left_out, strict=True):
        assert vocabulary(each) == {"all", *(f"only{number}" for number in range(10))} - {
            f"only{number}" for number in left_out
        }
        assert isinstance(each._validation, Sentences)
        assert each._validation.ids.tolist().count(UNKNOWN) == len(left_out)
    result = run.train_epoch()
    assert sum(each.table.sum() for each in run.runs) == 10
    assert result.objective_se is not None


def test_the_bound_of_the_last_layer_holds_after_every_step(
    make_text_run: MakeRun, data: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: dict[float | None, list[float]] = {}
    for bound in (0.3, None):
        run = make_text_run(data, {**CNN, "max_norm": bound}, lr=0.05)
        network, seen, step = run.classifier.network, norms.setdefault(bound, []), run._step
        assert isinstance(network, TextCnn)

        def spied(
            ids: Tensor, labels: Tensor, weight: Tensor = network.linear.weight, step: Any = step, seen: Any = seen
        ) -> Any:
            found = step(ids, labels)
            seen.append(float(weight.detach().norm(dim=1).max()))
            return found

        monkeypatch.setattr(run, "_step", spied)
        run.train_epoch()
        assert len(seen) == 8
    assert max(norms[0.3]) <= 0.3
    assert min(norms[None]) > 0.3


def test_the_scores_are_those_of_the_answers_to_the_validation_texts(make_text_run: MakeRun, data: Training) -> None:
    run = make_text_run(data, CNN, lr=0.05)
    result = run.train_epoch()
    probabilities = trained(run).eval().probabilities(list(data.texts[1]))
    labels = data.validation.labels
    assert result.accuracy == float((probabilities.argmax(1) == labels).mean())
    assert result.loss == pytest.approx(float(-np.log(probabilities[range(20), labels]).mean()), rel=1e-5)
    assert run.table.sum(axis=1).tolist() == np.bincount(labels, minlength=3).tolist()


def test_latency_and_parameters_are_measured_on_texts_too(make_text_run: MakeRun, data: Training) -> None:
    model = {"name": "text_cnn", "maps": 2, "dimension": 64}
    result = make_text_run(data, model, objective=BOTH).train_epoch()
    assert result.latency_ms is not None and result.latency_ms > 0
    rows = 2 + 30
    assert result.parameters == rows * 64 + sum(64 * 2 * width + 2 for width in (3, 4, 5)) + 6 * 3 + 3
    assert make_text_run(data).train_epoch().latency_ms is None


def test_the_longest_text_is_timed(make_text_run: MakeRun, data: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []

    def latency_ms(_: object, ids: Tensor) -> float:
        shapes.append(tuple(ids.shape))
        return 1.0

    monkeypatch.setattr("raytune_app.training.run.latency_ms", latency_ms)
    make_text_run(data, objective=BOTH).train_epoch()
    assert shapes == [(1, max(len(text.split()) for text in data.texts[1]))]


def test_a_speed_for_texts_is_measured_and_never_laid_out_or_compiled(
    text_experiment: MakeExperiment, data: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_can_compile", lambda _: True)
    choice = choose_speed(text_experiment(CNN), data, CPU, trainings=10**9)
    assert {row["speed"]["precision"] for row in choice.measured} >= {Precision.FP32.value}
    assert not any(row["speed"]["channels_last"] or row["speed"]["compiled"] for row in choice.measured)
    assert all(row["examples_per_s"] > 0 for row in choice.measured)
    assert choice.speed.to_dict() in [row["speed"] for row in choice.measured]


def test_what_is_measured_has_the_vocabulary_of_all_texts_not_of_the_sample(
    text_experiment: MakeExperiment, data: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def build(experiment: Experiment, data: Training, seed: int) -> Any:
        signature = signature_of(experiment, data)
        assert isinstance(signature, TextSignature)
        sizes.append(signature.vocabulary_size)
        return build_classifier(experiment, data, seed)

    monkeypatch.setattr("raytune_app.training.run.build_classifier", build)
    for name in ("reset_peak_memory_stats", "max_memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda _: 0)
    experiment = text_experiment(batch_size=1)
    choose_speed(experiment, data, CPU)
    peak_gpu_mb(experiment, data, CPU, Speed())
    assert set(sizes) == {32}
