"""Ways to run one network of pictures; the fastest that reproduces the golden samples is chosen by measuring.

| engine        | what it is                                                                   |
|---------------|------------------------------------------------------------------------------|
| torch         | the network as it was trained                                                |
| channels_last | the same with colours innermost in memory, as the processor's kernels like it |
| onnx          | the version's own ONNX graph in ONNX Runtime                                  |
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from raytune_app.models.graph import INPUT, OUTPUT
from raytune_app.models.picture_classifier import PictureClassifier
from serving.wire.pictures import Pixels
from serving.wire.protocol import Probabilities

Predict = Callable[[Pixels], Probabilities]

CHUNK = 128
"""Pictures in one forward pass: more needs memory and gains nothing."""
TIMED = (1, 64)
"""Batches an engine is timed on: a picture that comes alone, and many that waited together."""
ROUNDS = 5
ENOUGH = 0.9
"""Another engine than torch must be this much faster: small gains are noise."""
TORCH = "torch"
CPU = "cpu"


class Engine(NamedTuple):
    """One way to run the network."""

    name: str
    predict: Predict


def torch_engine(classifier: PictureClassifier) -> Engine:
    """The network as it was trained."""
    return Engine(TORCH, partial(_by_torch, classifier, torch.contiguous_format))


def choose(
    classifier: PictureClassifier, graph: bytes | None, golden: Pixels, holds: Callable[[Predict], bool]
) -> Engine:
    """The fastest engine, by the product of its times on TIMED, whose answers `holds` accepts.

    Args:
        graph: the version's ONNX graph, if it has one.
        golden: pictures to time on.
        holds: whether what an engine answers is what was recorded.
    """
    best = torch_engine(classifier)
    least = _score(best, golden) * ENOUGH ** len(TIMED)
    for engine in _others(classifier, graph):
        if holds(engine.predict) and (score := _score(engine, golden)) < least:
            best, least = engine, score
    return best


def _others(classifier: PictureClassifier, graph: bytes | None) -> Iterator[Engine]:
    yield Engine("channels_last", partial(_by_torch, classifier, torch.channels_last))
    if graph is not None and (session := _session(graph)) is not None:
        yield Engine("onnx", partial(_by_onnx, session, classifier))


def _score(engine: Engine, golden: Pixels) -> float:
    score = 1.0
    for count in TIMED:
        batch = np.resize(golden, (count, *golden.shape[1:]))
        engine.predict(batch)
        score *= min(_seconds(engine, batch) for _ in range(ROUNDS))
    return score


def _seconds(engine: Engine, batch: Pixels) -> float:
    start = time.perf_counter()
    engine.predict(batch)
    return time.perf_counter() - start


@torch.inference_mode()
def _by_torch(classifier: PictureClassifier, memory_format: torch.memory_format, images: Pixels) -> Probabilities:
    device = classifier.scale.device
    batch = torch.from_numpy(images if images.flags.writeable else images.copy())
    parts = (batch,) if len(batch) <= CHUNK else torch.split(batch, CHUNK)
    rows = [
        classifier(part.to(device, memory_format=memory_format)).float().softmax(dim=1).cpu().numpy() for part in parts
    ]
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def _by_onnx(session: Any, classifier: PictureClassifier, images: Pixels) -> Probabilities:
    if images.dtype != np.uint8:  # the graph takes no fractions of a pixel value
        return _by_torch(classifier, torch.contiguous_format, images)
    rows = [session.run([OUTPUT], {INPUT: images[start : start + CHUNK]})[0] for start in range(0, len(images), CHUNK)]
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def _session(graph: bytes) -> Any:
    """None if ONNX Runtime does not take the graph: torch then answers."""
    import onnxruntime  # type: ignore[import-untyped]  # ships no types

    options: Mapping[str, int] = {"intra_op_num_threads": torch.get_num_threads(), "inter_op_num_threads": 1}
    settings = onnxruntime.SessionOptions()
    for name, value in options.items():
        setattr(settings, name, value)
    try:
        return onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001  # a graph of another release
        return None
