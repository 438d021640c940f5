"""How each server is asked about pictures, and how its answer is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
JSON = {"Content-Type": "application/json"}
OCTETS = {"Content-Type": "application/octet-stream"}
HEADER = "Inference-Header-Content-Length"
CLASSES = 10


@dataclass(frozen=True, slots=True)
class Question:
    """An HTTP POST.

    Attributes:
        payload: what the body is, for the table.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes
    payload: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """A server's manner of speaking.

    Attributes:
        ask: pictures uint8 [N, 1, 28, 28] as a request.
        read: the body of the answer about N pictures as probabilities [N, 10]; raises ValueError, LookupError or
            TypeError if it is no such answer.
        many: whether N may be more than 1.
    """

    ask: Callable[[Pictures], Question]
    read: Callable[[bytes, int], Probabilities]
    many: bool = True


def _raw(pictures: Pictures) -> Question:
    return Question("/" if len(pictures) == 1 else "/many", OCTETS, pictures.tobytes(), "raw bytes")


def _read_raw(body: bytes, count: int) -> Probabilities:
    answers = json.loads(body)
    return _probabilities([each["probabilities"] for each in ([answers] if count == 1 else answers)], count)


def _inference(pictures: Pictures) -> Question:
    return Question("/inference", OCTETS, pictures.tobytes(), "raw bytes")


def _predict(pictures: Pictures) -> Question:
    return Question("/predict", OCTETS, pictures.tobytes(), "raw bytes")


def _predictions(pictures: Pictures) -> Question:
    return Question("/predictions/digits", OCTETS, pictures.tobytes(), "raw bytes")


def _ours(pictures: Pictures) -> Question:
    """The endpoint's short door for one picture, the protocol's binary extension for several."""
    if len(pictures) > 1:
        return _binary("/v2/models/bench/infer", pictures)
    return Question("/v2/models/bench/classify", OCTETS, pictures.tobytes(), "raw bytes")


def _read_ours(body: bytes, count: int) -> Probabilities:
    if count > 1:
        return _read_binary(body, count)
    return _probabilities([list(json.loads(body)["probabilities"].values())], count)


def _triton(pictures: Pictures) -> Question:
    """One picture as its bytes alone; Triton then leaves the JSON out."""
    if len(pictures) > 1:
        return _binary("/v2/models/digits/infer", pictures)
    return Question("/v2/models/digits/infer", OCTETS | {HEADER: "0"}, pictures.tobytes(), "raw bytes")


def _binary(path: str, pictures: Pictures) -> Question:
    blob = pictures.tobytes()
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": pictures.shape}
    output = {"name": "probabilities", "parameters": {"binary_data": True}}
    request = {"inputs": [tensor | {"parameters": {"binary_data_size": len(blob)}}], "outputs": [output]}
    head = json.dumps(request).encode()
    return Question(path, OCTETS | {HEADER: str(len(head))}, head + blob, "binary tensor")


def _read_binary(body: bytes, count: int) -> Probabilities:
    """The one output is the last thing in the body."""
    return _probabilities(np.frombuffer(body[-4 * CLASSES * count :], "<f4"), count)


def _protocol_json(pictures: Pictures) -> Question:
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": pictures.shape, "data": pictures.ravel().tolist()}
    return Question("/v2/models/digits/infer", JSON, _compact({"inputs": [tensor]}), "protocol JSON")


def _read_protocol_json(body: bytes, count: int) -> Probabilities:
    return _probabilities(json.loads(body)["outputs"][0]["data"], count)


def _bento(pictures: Pictures) -> Question:
    return Question("/classify", JSON, _compact({"pixels": pictures.reshape(len(pictures), -1).tolist()}), "JSON")


def _read_bento(body: bytes, count: int) -> Probabilities:
    return _probabilities(json.loads(body), count)


def _compact(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _probabilities(values: Any, count: int) -> Probabilities:
    return np.asarray(values, np.float32).reshape(count, CLASSES)


DIALECTS = {
    "raw": Dialect(_raw, _read_raw),
    "raw_alone": Dialect(_raw, _read_raw, many=False),
    "mosec": Dialect(_inference, _read_raw, many=False),
    "torchserve": Dialect(_predictions, _read_raw, many=False),
    "litserve": Dialect(_predict, _read_raw, many=False),
    "ours": Dialect(_ours, _read_ours),
    "triton": Dialect(_triton, _read_binary),
    "protocol_json": Dialect(_protocol_json, _read_protocol_json),
    "bento": Dialect(_bento, _read_bento),
}
