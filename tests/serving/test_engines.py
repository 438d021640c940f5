"""Another engine may answer only if it answers what was recorded, and only if it is faster."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import Tensor, nn

from raytune_app.errors import CorruptModelError
from raytune_app.manifest import GOLDEN
from raytune_app.models.catalog import build
from raytune_app.models.graph import onnx_graph
from raytune_app.models.picture_classifier import PictureClassifier
from raytune_app.models.signature import PictureSignature
from raytune_app.registry import Draft, Registry
from raytune_app.spec.grammar import ConvNetSpec, TutorialCnnSpec
from serving.versions import engines
from serving.versions.engines import Predict, choose, torch_engine
from serving.versions.predictor import Predictor

MakeDraft = Callable[..., Draft]
SHAPE = (1, 20, 20)
SPECS: list[TutorialCnnSpec | ConvNetSpec] = [
    TutorialCnnSpec(name="tutorial_cnn"),
    ConvNetSpec(name="conv_net", blocks=2, width=8),
]
SIGNATURE = PictureSignature(1, 20, ("a", "b", "c"), (0.1,), (0.3,))


def classifier(spec: TutorialCnnSpec | ConvNetSpec = SPECS[0], seed: int = 0) -> PictureClassifier:
    made = build(spec, SIGNATURE, seed).eval().requires_grad_(False)
    assert isinstance(made, PictureClassifier)
    return made


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *SHAPE), np.uint8)


@pytest.mark.parametrize("spec", SPECS, ids=["tutorial_cnn", "conv_net"])
@pytest.mark.parametrize("count", [1, 2, 130])
def test_every_engine_answers_what_torch_answers(spec: TutorialCnnSpec | ConvNetSpec, count: int) -> None:
    model = classifier(spec)
    expected = torch_engine(model).predict(pictures(count))
    others = {engine.name: engine for engine in engines._others(model, onnx_graph(model, SHAPE))}
    assert set(others) == {"channels_last", "onnx"}
    for engine in others.values():
        answered = engine.predict(pictures(count))
        assert answered.dtype == np.float32
        assert np.allclose(answered, expected, atol=1e-6)
        fractions = pictures(count).astype(np.float32) + np.float32(0.25)
        assert np.allclose(engine.predict(fractions), torch_engine(model).predict(fractions), atol=1e-6)


def test_the_fastest_engine_that_holds_is_chosen_and_one_that_does_not_never_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = {"torch": 1.0, "channels_last": 0.5, "onnx": 0.3}
    monkeypatch.setattr(engines, "_seconds", lambda engine, _: times[engine.name])
    model, other = classifier(), classifier(seed=1)
    golden = pictures(8)
    expected = torch_engine(model).predict(golden)

    def holds(predict: Predict) -> bool:
        return bool(np.abs(predict(golden) - expected).max() <= 1e-4)

    assert choose(model, onnx_graph(model, SHAPE), golden, holds).name == "onnx"
    assert choose(model, onnx_graph(other, SHAPE), golden, holds).name == "channels_last"
    assert choose(model, b"no graph", golden, holds).name == "channels_last"
    assert choose(model, onnx_graph(model, SHAPE), golden, lambda _: False).name == "torch"
    times["onnx"] = 0.6
    assert choose(model, onnx_graph(model, SHAPE), golden, holds).name == "channels_last"


def test_an_engine_that_is_hardly_faster_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_seconds", lambda engine, _: 1.0 if engine.name == "torch" else 0.95)
    assert choose(classifier(), None, pictures(4), lambda _: True).name == "torch"


class Branching(nn.Module):
    """A network whose way depends on what it sees."""

    def forward(self, pictures: Tensor) -> Tensor:
        sums = pictures.flatten(1).sum(dim=1)
        return torch.stack([sums, -sums, sums if sums[0] > 0 else 2 * sums], dim=1)


def test_a_network_without_a_graph_is_no_fault() -> None:
    assert onnx_graph(PictureClassifier(Branching(), SIGNATURE), SHAPE) is None


@pytest.fixture
def with_graph(registry: Registry, make_draft: MakeDraft) -> Registry:
    """One version with the graph of its own network."""
    draft = make_draft()
    registry.register("mnist", draft)
    found = registry.find("mnist@1")
    model = Predictor.of(found)
    from raytune_app.models.stored import rebuild

    graph = onnx_graph(rebuild(found.model, draft.weights), (1, 28, 28))  # type: ignore[arg-type]
    assert graph is not None
    registry.register("mnist", Draft(draft.model, draft.weights, draft.golden, draft.card, graph))
    assert model.engine == "torch"
    return registry


def test_a_version_answers_to_the_bit_as_trained_or_within_its_tolerance_as_fast_as_it_can(
    with_graph: Registry,
) -> None:
    golden = load(with_graph.find("mnist@2").read()[GOLDEN])
    exact = Predictor.load(with_graph.storage.uri, "mnist", 2)
    fastest = Predictor.load(with_graph.storage.uri, "mnist", 2, fastest=True)
    assert exact.predict(golden["inputs"]).tobytes() == golden["probabilities"].tobytes()
    assert np.allclose(fastest.predict(golden["inputs"]), golden["probabilities"], atol=1e-4)
    assert fastest.engine in ("torch", "channels_last", "onnx")


def test_a_damaged_graph_is_a_damaged_version(with_graph: Registry) -> None:
    Path(with_graph.storage.full("models/mnist/2/model.onnx")).write_bytes(b"damaged")
    with pytest.raises(CorruptModelError, match=r"2/model\.onnx"):
        with_graph.find("mnist@2").verify()
    with_graph.find("mnist@1").verify()
