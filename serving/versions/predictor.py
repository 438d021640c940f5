"""A registered version made callable: verified, rebuilt from JSON, proved on its golden samples before it answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from raytune_app.data.features import PICTURE_FEATURES, TEXT_FEATURES, picture_features, text_features
from raytune_app.data.reference import Reference
from raytune_app.errors import CorruptModelError, DataError
from raytune_app.manifest import GOLDEN, GRAPH, MODEL, WEIGHTS, sha256
from raytune_app.models.catalog import Classifier
from raytune_app.models.picture_classifier import PictureClassifier
from raytune_app.models.stored import rebuild
from raytune_app.models.text_classifier import TextClassifier
from raytune_app.registry import ModelVersion, Registry
from raytune_app.storage import Storage
from serving.versions.engines import CHUNK, CPU, TORCH, Engine, Predict, choose, torch_engine
from serving.watch.drift import Expected
from serving.wire.inputs import Inputs
from serving.wire.pictures import Pictures, Shape
from serving.wire.protocol import Probabilities
from serving.wire.texts import USUAL_CHARACTERS, Texts

MAX_TOLERANCE = 1e-3
"""A version may not allow itself more: it could then be another model's outputs."""

REMEDY = "restore the version from a copy, or promote another version"

TIMED_TEXTS = 64

_UNUSABLE = (KeyError, TypeError, ValueError, RuntimeError, SafetensorError, DataError)


@dataclass(frozen=True, slots=True)
class _Ability:
    """What a rebuilt model can do, whatever its inputs are.

    Attributes:
        golden: the recorded inputs, a batch.
        expected: float32 [N, K], the recorded probabilities of these.
        usual: a batch of usual examples, to time it on.
    """

    inputs: Inputs[Any, Any]
    predict: Callable[[Any], Probabilities]
    golden: Any
    expected: Probabilities
    usual: Any


@dataclass(frozen=True, slots=True)
class Predictor:
    """One version, ready to answer.

    Attributes:
        inputs: what it takes: pictures of one shape, or texts.
        labels: by index of the probabilities.
        engine: which way of running the network was the fastest that reproduces the golden samples.
        weights: the sha256 of the weights' file.
        example_s: seconds one usual example takes in a full batch, measured while warming up.
        expected: of the data it was trained on; None for a version that was registered without statistics.
    """

    name: str
    version: int
    inputs: Inputs[Any, Any]
    labels: tuple[str, ...]
    example_s: float
    _predict: Callable[[Any], Probabilities]
    expected: Expected | None = None
    engine: str = TORCH
    weights: str = ""

    @classmethod
    def load(cls, storage_uri: str, name: str, version: int, *, fastest: bool = False, device: str = CPU) -> Predictor:
        """Read a version whose files match the manifest and whose outputs match its golden samples.

        Args:
            fastest: measure which engine runs it fastest, instead of running it by torch as it was trained.
            device: `cpu` or `cuda`, where the network runs.

        Raises:
            NotFoundError: no such model or version.
            CorruptModelError: a file does not match, cannot be used, or the outputs are not those recorded; names it.
        """
        return cls.of(Registry(Storage(storage_uri)).find(f"{name}@{version}"), fastest=fastest, device=device)

    @classmethod
    def of(cls, found: ModelVersion, *, fastest: bool = False, device: str = CPU) -> Predictor:
        """As `load`, for a version already found."""
        files = found.read()
        model = json.loads(files[MODEL])
        try:
            classifier = rebuild(model, files[WEIGHTS]).to(device)
            ability = _ability(classifier, model, load_arrays(files[GOLDEN]))
            tolerance = _tolerance(model)
            expected = _expected(classifier, model)
        except _UNUSABLE as error:
            reason = str(error).partition("\n")[0]
            raise CorruptModelError(f"{found.location} cannot be rebuilt: {reason}", REMEDY) from error
        _prove(ability, tolerance, found)
        engine = Engine(TORCH, ability.predict)
        if fastest and isinstance(classifier, PictureClassifier):
            engine = choose(
                classifier,
                files.get(GRAPH) if device == CPU else None,
                ability.golden,
                partial(_holds, ability, tolerance),
            )
        labels, example_s = classifier.signature.classes, _time(ability, engine.predict)
        facts = (engine.name, sha256(files[WEIGHTS]))
        return cls(found.name, found.version, ability.inputs, labels, example_s, engine.predict, expected, *facts)

    @property
    def shape(self) -> Shape:
        """[C, H, W] of the pictures that a model of pictures takes."""
        assert isinstance(self.inputs, Pictures), self.inputs
        return self.inputs.shape

    def predict(self, batch: Any) -> Probabilities:
        """Probabilities float32 [N, K] of raw pixels [N, C, H, W], 0 to 255, or of N texts."""
        return self._predict(batch)


def _tolerance(model: Mapping[str, Any]) -> float:
    tolerance = float(model["golden_tolerance"])
    if not 0 <= tolerance <= MAX_TOLERANCE:
        raise ValueError(f"golden_tolerance {tolerance} is not between 0 and {MAX_TOLERANCE}")
    return tolerance


def _expected(classifier: Classifier, model: Mapping[str, Any]) -> Expected | None:
    """Raises ValueError for statistics of other classes or features than the model's."""
    stored = model.get("reference")
    if stored is None:
        return None
    reference = Reference.model_validate(stored)
    texts = isinstance(classifier, TextClassifier)
    names = TEXT_FEATURES if texts else PICTURE_FEATURES
    if tuple(reference.features) != names or len(reference.classes) != len(classifier.signature.classes):
        raise ValueError(f"its training statistics are not of {len(classifier.signature.classes)} classes and {names}")
    return Expected(reference, text_features if texts else picture_features)


def _ability(classifier: Classifier, model: Mapping[str, Any], golden: Mapping[str, NDArray[Any]]) -> _Ability:
    """Raises ValueError for golden samples that would prove nothing."""
    make = _of_texts if isinstance(classifier, TextClassifier) else _of_pictures
    ability = make(classifier, model, golden)
    samples, classes = len(ability.golden), len(classifier.signature.classes)
    if not samples or ability.expected.shape != (samples, classes):
        raise ValueError(f"golden probabilities {ability.expected.shape} are not those of {samples} samples")
    return ability


def _of_pictures(classifier: Any, model: Mapping[str, Any], golden: Mapping[str, NDArray[Any]]) -> _Ability:
    channels, height, width = map(int, model["inputs"])
    shape, images = (channels, height, width), golden["inputs"]
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise ValueError(f"golden inputs {images.dtype} {images.shape} are not pictures of shape {shape}")
    blank = np.zeros((CHUNK, *shape), np.uint8)
    return _Ability(Pictures(shape), torch_engine(classifier).predict, images, golden["probabilities"], blank)


def _of_texts(classifier: Any, model: Mapping[str, Any], golden: Mapping[str, NDArray[Any]]) -> _Ability:
    texts = _golden_texts(golden["utf8"], golden["offsets"])
    beginning = " ".join(texts)[:USUAL_CHARACTERS]
    usual = (f"{beginning} " * USUAL_CHARACTERS)[: USUAL_CHARACTERS - 1]
    return _Ability(Texts(), classifier.probabilities, texts, golden["probabilities"], [usual] * TIMED_TEXTS)


def _golden_texts(utf8: NDArray[Any], offsets: NDArray[Any]) -> list[str]:
    if utf8.dtype != np.uint8 or offsets.dtype != np.int64 or utf8.ndim != 1 or offsets.ndim != 1 or not len(offsets):
        raise ValueError("golden utf8 and offsets are not those of texts")
    if offsets[0] != 0 or offsets[-1] != len(utf8) or (np.diff(offsets) < 0).any():
        raise ValueError(f"golden offsets do not divide {len(utf8):,} bytes")
    return [utf8[start:end].tobytes().decode() for start, end in pairwise(offsets)]


def _prove(ability: _Ability, tolerance: float, found: ModelVersion) -> None:
    """A server that cannot reproduce what was recorded refuses to answer at all."""
    difference = _difference(ability, ability.predict)
    if not difference <= tolerance:  # NaN refuses too
        what = f"the outputs differ from the recorded ones by {difference:.2g}, over {tolerance:.2g}"
        raise CorruptModelError(f"{found.location}/{GOLDEN}: {what}", REMEDY)


def _holds(ability: _Ability, tolerance: float, predict: Predict) -> bool:
    return _difference(ability, predict) <= tolerance


def _difference(ability: _Ability, predict: Predict) -> float:
    return float(np.abs(predict(ability.golden) - ability.expected).max())


def _time(ability: _Ability, predict: Predict) -> float:
    """Seconds a usual example, best of three; also the warm-up."""
    predict(ability.usual[:1])
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        predict(ability.usual)
        best = min(best, time.perf_counter() - start)
    return best / ability.inputs.weight(ability.usual)
