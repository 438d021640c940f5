"""A registered version made callable: verified, rebuilt from JSON, proved on its golden samples before it answers."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.torch import load as load_tensors

from raytune_app.errors import CorruptModelError
from raytune_app.models.catalog import build
from raytune_app.models.classifier import Classifier
from raytune_app.models.signature import Signature
from raytune_app.registry import GOLDEN, MODEL, WEIGHTS, ModelVersion, Registry
from raytune_app.spec.grammar import ModelSpec
from raytune_app.storage import Storage
from serving.protocol import Pixels, Shape

CHUNK = 128
"""Pictures in one forward pass: more needs memory and gains nothing."""

MAX_TOLERANCE = 1e-3
"""A version may not allow itself more: it could then be another model's outputs."""

REMEDY = "restore the version from a copy, or promote another version"


@dataclass(frozen=True, slots=True)
class Predictor:
    """One version, ready to answer.

    Attributes:
        shape: [C, H, W] of the pictures it takes.
        labels: by index of the probabilities.
        picture_s: seconds one picture takes in a full batch, measured while warming up.
    """

    name: str
    version: int
    shape: Shape
    labels: tuple[str, ...]
    picture_s: float
    _classifier: Classifier

    @classmethod
    def load(cls, storage_uri: str, name: str, version: int) -> Predictor:
        """Read a version whose files match the manifest and whose outputs match its golden samples.

        Raises:
            NotFoundError: no such model or version.
            CorruptModelError: a file does not match, cannot be used, or the outputs are not those recorded; names it.
        """
        return cls.of(Registry(Storage(storage_uri)).find(f"{name}@{version}"))

    @classmethod
    def of(cls, found: ModelVersion) -> Predictor:
        """As `load`, for a version already found."""
        files = found.read()
        model = json.loads(files[MODEL])
        try:
            classifier = _rebuild(model, files[WEIGHTS])
            shape = _shape(model)
            golden = load_arrays(files[GOLDEN])
            inputs, expected, tolerance = golden["inputs"], golden["probabilities"], float(model["golden_tolerance"])
            _check_golden(inputs, expected, tolerance, shape, len(classifier.signature.classes))
        except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            reason = str(error).partition("\n")[0]
            raise CorruptModelError(f"{found.location} cannot be rebuilt: {reason}", REMEDY) from error
        _prove(classifier, inputs, expected, tolerance, found)
        return cls(found.name, found.version, shape, classifier.signature.classes, _time(classifier, shape), classifier)

    def predict(self, images: Pixels) -> NDArray[np.float32]:
        """Probabilities float32 [N, K] of raw pixels [N, C, H, W], 0 to 255."""
        return _probabilities(self._classifier, images)


def _check_golden(
    inputs: NDArray[np.uint8], expected: NDArray[np.float32], tolerance: float, shape: Shape, classes: int
) -> None:
    """Raises ValueError for golden samples that would prove nothing."""
    if not 0 <= tolerance <= MAX_TOLERANCE:
        raise ValueError(f"golden_tolerance {tolerance} is not between 0 and {MAX_TOLERANCE}")
    if not len(inputs) or inputs.dtype != np.uint8 or inputs.shape[1:] != shape:
        raise ValueError(f"golden inputs {inputs.dtype} {inputs.shape} are not pictures of shape {shape}")
    if expected.shape != (len(inputs), classes):
        raise ValueError(f"golden probabilities {expected.shape} are not those of {len(inputs)} pictures")


def _rebuild(model: dict[str, Any], weights: bytes) -> Classifier:
    spec: ModelSpec = TypeAdapter(ModelSpec).validate_python(model["network"])
    classifier = build(spec, Signature.from_dict(model["signature"]), seed=0)
    classifier.load_state_dict(load_tensors(weights))
    return classifier.eval().requires_grad_(False)


def _shape(model: dict[str, Any]) -> Shape:
    channels, height, width = map(int, model["inputs"])
    return channels, height, width


@torch.inference_mode()
def _probabilities(classifier: Classifier, images: Pixels) -> NDArray[np.float32]:
    batch = torch.from_numpy(images if images.flags.writeable else images.copy())
    parts = (batch,) if len(batch) <= CHUNK else torch.split(batch, CHUNK)
    rows = [classifier(part).float().softmax(dim=1).numpy() for part in parts]
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def _prove(
    classifier: Classifier,
    inputs: NDArray[np.uint8],
    expected: NDArray[np.float32],
    tolerance: float,
    found: ModelVersion,
) -> None:
    """A server that cannot reproduce what was recorded refuses to answer at all."""
    difference = float(np.abs(_probabilities(classifier, inputs) - expected).max())
    if not difference <= tolerance:  # NaN refuses too
        what = f"the outputs differ from the recorded ones by {difference:.2g}, over {tolerance:.2g}"
        raise CorruptModelError(f"{found.location}/{GOLDEN}: {what}", REMEDY)


def _time(classifier: Classifier, shape: Shape) -> float:
    """Seconds a picture, best of three; also the warm-up."""
    blank = np.zeros((CHUNK, *shape), np.uint8)
    _probabilities(classifier, blank[:1])
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        _probabilities(classifier, blank)
        best = min(best, time.perf_counter() - start)
    return best / CHUNK
