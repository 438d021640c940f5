"""Only a version that is whole and reproduces its golden samples becomes callable."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from raytune_app.errors import CorruptModelError, NotFoundError
from raytune_app.registry import Draft, Registry
from serving.versions.engines import CHUNK
from serving.versions.predictor import Predictor
from serving.wire.pictures import Pictures
from serving.wire.texts import Texts

MakeDraft = Callable[..., Draft]
Golden = dict[str, np.ndarray]


def loaded(registry: Registry, draft: Draft) -> Predictor:
    return Predictor.load(registry.storage.uri, "mnist", registry.register("mnist", draft))


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3)])
def test_a_loaded_model_gives_the_recorded_probabilities_to_the_bit(
    registry: Registry, make_draft: MakeDraft, size: int, channels: int
) -> None:
    draft = make_draft(size=size, channels=channels)
    predictor = loaded(registry, draft)
    golden = load(draft.golden)
    assert predictor.predict(golden["inputs"]).tobytes() == golden["probabilities"].tobytes()
    assert (predictor.name, predictor.version, predictor.shape) == ("mnist", 1, (channels, size, size))
    assert predictor.inputs == Pictures(predictor.shape)
    assert predictor.example_s > 0


def test_large_batches_come_back_whole_and_in_order(registry: Registry, make_draft: MakeDraft) -> None:
    predictor = loaded(registry, make_draft())
    images = np.random.default_rng(1).integers(0, 256, (2 * CHUNK + 3, 1, 28, 28), np.uint8)
    together = predictor.predict(images)
    assert together.shape == (len(images), 10)
    for index in (0, CHUNK - 1, CHUNK, 2 * CHUNK + 2):
        assert together[index] == pytest.approx(predictor.predict(images[index : index + 1])[0], abs=1e-6)


@pytest.mark.parametrize("file", ["weights.safetensors", "model.json", "golden.safetensors"])
def test_a_changed_file_is_refused_by_name(registry: Registry, make_draft: MakeDraft, file: str) -> None:
    version = registry.register("mnist", make_draft())
    path = Path(registry.storage.full(f"models/mnist/{version}/{file}"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b" ")
    with pytest.raises(CorruptModelError, match=file):
        Predictor.load(registry.storage.uri, "mnist", version)


def test_a_model_that_answers_otherwise_than_recorded_is_refused(registry: Registry, make_draft: MakeDraft) -> None:
    golden = load(make_draft().golden)
    golden["probabilities"] = np.roll(golden["probabilities"], 1, axis=1)
    with pytest.raises(CorruptModelError, match="differ from the recorded ones"):
        loaded(registry, replace(make_draft(), golden=save(golden)))


def test_recorded_nan_is_refused(registry: Registry, make_draft: MakeDraft) -> None:
    golden = load(make_draft().golden)
    golden["probabilities"] = np.full_like(golden["probabilities"], np.nan)
    with pytest.raises(CorruptModelError, match="nan"):
        loaded(registry, replace(make_draft(), golden=save(golden)))


@pytest.mark.parametrize(
    "change",
    [
        {"network": {"name": "tutorial_cnn", "channels": 7}},
        {"network": {"name": "no_such_network"}},
        {"network": None},
        {"signature": {}},
        {"inputs": [28, 28]},
        {"golden_tolerance": None},
    ],
)
def test_a_description_that_does_not_fit_the_weights_is_refused(
    registry: Registry, make_draft: MakeDraft, change: dict[str, object]
) -> None:
    draft = make_draft()
    with pytest.raises(CorruptModelError, match="cannot be rebuilt"):
        loaded(registry, replace(draft, model={**draft.model, **change}))


def test_weights_that_are_not_safetensors_are_refused(registry: Registry, make_draft: MakeDraft) -> None:
    with pytest.raises(CorruptModelError, match="cannot be rebuilt"):
        loaded(registry, replace(make_draft(), weights=json.dumps({"a": 1}).encode()))


def test_a_version_that_is_not_there_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFoundError):
        Predictor.load(registry.storage.uri, "mnist", 1)


@pytest.mark.parametrize("fault", ["tolerance", "empty", "shape", "classes"])
def test_golden_samples_that_would_prove_nothing_are_refused(
    registry: Registry, make_draft: MakeDraft, fault: str
) -> None:
    draft = make_draft()
    golden, model = load(draft.golden), dict(draft.model)
    if fault == "tolerance":
        model["golden_tolerance"] = 2.0
    elif fault == "empty":
        golden = {name: array[:0] for name, array in golden.items()}
    elif fault == "shape":
        model["inputs"] = [1, 32, 32]
    else:
        golden["probabilities"] = np.ascontiguousarray(golden["probabilities"][:, :9])
    with pytest.raises(CorruptModelError, match="cannot be rebuilt: golden"):
        loaded(registry, replace(draft, golden=save(golden), model=model))


def golden_texts(golden: Golden) -> list[str]:
    pieces = np.split(golden["utf8"], golden["offsets"][1:-1])
    return [piece.tobytes().decode() for piece in pieces]


def test_a_loaded_model_of_texts_gives_the_recorded_probabilities_to_the_bit(
    registry: Registry, make_text_draft: MakeDraft
) -> None:
    draft = make_text_draft()
    predictor, golden = loaded(registry, draft), load(draft.golden)
    texts = golden_texts(golden)
    assert len(set(texts)) == len(texts) >= 5
    assert predictor.predict(texts).tobytes() == golden["probabilities"].tobytes()
    assert (predictor.inputs, predictor.labels) == (Texts(), ("bad", "good"))
    assert predictor.example_s > 0


def test_two_models_of_texts_with_other_weights_answer_otherwise(
    registry: Registry, make_text_draft: MakeDraft
) -> None:
    one, other = loaded(registry, make_text_draft(0)), loaded(registry, make_text_draft(1))
    assert not np.allclose(one.predict(["a funny film"]), other.predict(["a funny film"]))


NOTHING: Golden = {
    "utf8": np.zeros(0, np.uint8),
    "offsets": np.zeros(1, np.int64),
    "probabilities": np.zeros((0, 2), np.float32),
}

FAULTS: dict[str, Callable[[Golden], Golden]] = {
    "no texts": lambda _: NOTHING,
    "no utf8": lambda _: {"utf8": NOTHING["utf8"]},
    "no offsets": lambda _: {"offsets": NOTHING["offsets"][:0]},
    "offsets of another type": lambda golden: {"offsets": golden["offsets"].astype(np.int32)},
    "offsets that go back": lambda golden: {"offsets": golden["offsets"][[0, 2, 1, 3, 4, 5]]},
    "offsets that begin later": lambda golden: {"offsets": np.maximum(golden["offsets"], 1)},
    "bytes after the last text": lambda golden: {"utf8": np.append(golden["utf8"], np.uint8(65))},
    "bytes that are not UTF-8": lambda golden: {"utf8": golden["utf8"] | 0x80},
    "probabilities of fewer classes": lambda golden: {"probabilities": golden["probabilities"][:, :1].copy()},
    "probabilities of fewer texts": lambda golden: {"probabilities": golden["probabilities"][1:]},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_golden_texts_that_would_prove_nothing_are_refused(
    registry: Registry, make_text_draft: MakeDraft, fault: str
) -> None:
    draft = make_text_draft()
    golden = load(draft.golden)
    with pytest.raises(CorruptModelError, match="cannot be rebuilt: "):
        loaded(registry, replace(draft, golden=save({**golden, **FAULTS[fault](golden)})))


def test_a_damaged_tokenizer_is_refused(registry: Registry, make_text_draft: MakeDraft) -> None:
    draft = make_text_draft()
    model = json.loads(json.dumps(draft.model))
    model["signature"]["tokenizer"]["vocabulary"][1] = model["signature"]["tokenizer"]["vocabulary"][0]
    with pytest.raises(CorruptModelError, match="cannot be rebuilt: the stored tokenizer"):
        loaded(registry, replace(draft, model=model))


def test_a_model_of_texts_that_answers_otherwise_than_recorded_is_refused(
    registry: Registry, make_text_draft: MakeDraft
) -> None:
    with pytest.raises(CorruptModelError, match="differ from the recorded ones"):
        loaded(registry, replace(make_text_draft(0), golden=make_text_draft(1).golden))
