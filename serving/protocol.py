"""Open Inference Protocol v2 as JSON: what a request may be, checked before any work, and what an answer looks like.

    $infer_request  = { "id"?, "parameters"?, "inputs": [$input], "outputs"?: [{"name": string}] }
    $input          = { "name": string, "shape": [N, C, H, W], "datatype": string, "data": flat or nested }
    $infer_response = { "model_name", "model_version", "id"?, "outputs": [$output] }
    $output         = { "name", "shape", "datatype", "data" }

No HTTP and no model here. Messages say what was expected; none repeats what the client sent beyond names and sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from raytune_app.errors import InputError, RaytuneError, TooLargeError

MAX_BODY_BYTES = 32 * 2**20
MAX_IMAGES = 1024
"""Pictures in one request."""

INPUT_NAME = "pixels"
INTEGERS = frozenset({"UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"})
FLOATS = frozenset({"FP32", "FP64"})

Shape = tuple[int, int, int]
Pixels = NDArray[np.uint8] | NDArray[np.float32]


class Output(StrEnum):
    """What a classifier answers, in the order of an answer that asks for nothing in particular."""

    PROBABILITIES = "probabilities"
    INDEX = "index"
    LABEL = "label"


DATATYPES = {Output.PROBABILITIES: "FP32", Output.INDEX: "INT64", Output.LABEL: "BYTES"}


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request that passed every check; `pixels` is [N, C, H, W] with values 0 to 255."""

    pixels: Pixels
    outputs: tuple[Output, ...]
    id: str | None


def read_infer(body: bytes, shape: Shape) -> InferRequest:
    """Check and decode an infer request for pictures of `shape` [C, H, W].

    Raises:
        InputError: not JSON, not the protocol, or not the model's shape or range; says what was expected.
        TooLargeError: more than MAX_IMAGES pictures.
    """
    request = _mapping(_parsed(body), "the body")
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise InputError(f"'inputs' must be a list of one tensor, {INPUT_NAME!r}", _example(shape))
    pixels = _read_input(_mapping(inputs[0], "inputs[0]"), shape)
    return InferRequest(pixels, _read_outputs(request.get("outputs")), _read_id(request.get("id")))


def read_raw(body: bytes, shape: Shape) -> NDArray[np.uint8]:
    """One picture as exactly C*H*W bytes, row-major; returns [C, H, W]. Raises InputError for another size."""
    expected = math.prod(shape)
    if len(body) != expected:
        raise InputError(
            f"{len(body):,} bytes are neither a PNG nor a JPEG nor the {expected:,} raw bytes of one picture",
            f"send C*H*W = {'*'.join(map(str, shape))} = {expected:,} bytes, or an image file",
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def infer_answer(
    request: InferRequest, name: str, version: int, labels: Sequence[str], probabilities: NDArray[np.float32]
) -> bytes:
    """The JSON answer; FP32 values are written so that reading them gives the same bits back."""
    index = probabilities.argmax(axis=1)
    data: dict[Output, list[Any]] = {}
    for output in request.outputs:
        match output:
            case Output.PROBABILITIES:
                data[output] = probabilities.ravel().tolist()
            case Output.INDEX:
                data[output] = index.tolist()
            case Output.LABEL:
                data[output] = [labels[i] for i in index]
    shapes = {Output.PROBABILITIES: list(probabilities.shape)}
    tensors = [
        {"name": output, "datatype": DATATYPES[output], "shape": shapes.get(output, [len(index)]), "data": values}
        for output, values in data.items()
    ]
    echo = {} if request.id is None else {"id": request.id}
    return to_json({"model_name": name, "model_version": str(version), **echo, "outputs": tensors})


def classify_answer(name: str, version: int, labels: Sequence[str], probabilities: NDArray[np.float32]) -> bytes:
    """The short JSON answer for one picture; `probabilities` is [K]."""
    index = int(probabilities.argmax())
    by_label = dict(zip(labels, probabilities.tolist(), strict=True))
    answer = {"model": name, "version": str(version), "label": labels[index], "index": index, "probabilities": by_label}
    return to_json(answer)


def server_metadata(version: str) -> dict[str, Any]:
    """Name, version and the protocol extensions there are: none yet."""
    return {"name": "raytune", "version": version, "extensions": []}


def model_metadata(name: str, version: int, shape: Shape, labels: Sequence[str]) -> dict[str, Any]:
    """Name, versions, platform, inputs and outputs; a variable dimension is -1."""
    sizes = {Output.PROBABILITIES: [-1, len(labels)]}
    return {
        "name": name,
        "versions": [str(version)],
        "platform": "pytorch_safetensors",
        "inputs": [{"name": INPUT_NAME, "datatype": "UINT8", "shape": [-1, *shape]}],
        "outputs": [{"name": each, "datatype": DATATYPES[each], "shape": sizes.get(each, [-1])} for each in Output],
        "labels": list(labels),
    }


def error_answer(error: RaytuneError) -> bytes:
    """`{"error": ...}`: what is wrong, then what to do."""
    return to_json({"error": f"{error.message}; {error.remedy}" if error.remedy else error.message})


def _parsed(body: bytes) -> Any:
    if not body:
        raise InputError("the body is empty", "send a JSON object with 'inputs'")
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InputError(f"the body is not JSON: {error}", "send a JSON object with 'inputs'") from error


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{what} must be a JSON object", "see the Open Inference Protocol v2")
    return value


def _read_id(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and len(value) <= 256):
        return value
    raise InputError("'id' must be a string of at most 256 characters", "leave it out or shorten it")


def _read_outputs(value: Any) -> tuple[Output, ...]:
    if value is None or value == []:
        return tuple(Output)
    known = f"the outputs are {', '.join(Output)}"
    if not isinstance(value, list) or len(value) > len(Output):
        raise InputError("'outputs' must be a list that names each output once", known)
    try:
        return tuple(dict.fromkeys(Output(each["name"]) for each in value))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError("'outputs' names an output that this model does not have", known) from error


def _read_input(tensor: Mapping[str, Any], shape: Shape) -> Pixels:
    if not isinstance(tensor.get("name"), str):
        raise InputError("inputs[0] has no 'name'", _example(shape))
    parameters = tensor.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        raise InputError("binary tensor data is not supported here", "send 'data', or raw pixels to /classify")
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in INTEGERS | FLOATS:
        allowed = ", ".join(sorted(INTEGERS | FLOATS))
        raise InputError("inputs[0].datatype is not one of those pixels may have", f"use one of {allowed}")
    sizes = _read_shape(tensor.get("shape"), shape)
    if not isinstance(tensor.get("data"), list):
        raise InputError("inputs[0].data must be a list, flat or nested", _example(shape))
    return _read_pixels(_flat(tensor["data"], sizes), datatype).reshape(sizes)


def _read_shape(value: Any, shape: Shape) -> tuple[int, ...]:
    sizes = (
        isinstance(value, list) and len(value) == 4 and all(type(size) is int and 0 < size < 2**31 for size in value)
    )
    if not sizes or tuple(value[1:]) != shape:
        given = f"{value}" if sizes else "not of four sizes"
        expected = ", ".join(map(str, shape))
        raise InputError(f"inputs[0].shape is {given}, but this model takes [N, {expected}]", _example(shape))
    if value[0] > MAX_IMAGES:
        raise TooLargeError(f"{value[0]:,} pictures in one request", f"send at most {MAX_IMAGES:,}")
    return tuple(value)


def _flat(data: list[Any], sizes: tuple[int, ...]) -> list[Any]:
    """Nested data level by level, each checked against the shape, so that nothing ragged or deep gets through."""
    depth = 0
    while data and type(data[0]) is list:
        depth += 1
        even = depth < len(sizes) and set(map(type, data)) == {list} and set(map(len, data)) == {sizes[depth]}
        if not even or len(data) != math.prod(sizes[:depth]):
            remedy = f"nest it as {list(sizes)} or not at all"
            raise InputError("inputs[0].data is nested differently from inputs[0].shape", remedy)
        data = list(chain.from_iterable(data))
    if len(data) != math.prod(sizes):
        raise InputError(f"inputs[0].data has {len(data):,} numbers, its shape {math.prod(sizes):,}", "make them agree")
    return data


def _read_pixels(data: list[Any], datatype: str) -> Pixels:
    """uint8 where every value is whole, so that one picture gives one answer however it was written."""
    if not set(map(type, data)) <= {int, float}:
        raise InputError("inputs[0].data holds something other than numbers", "send numbers from 0 to 255")
    try:
        return np.frombuffer(bytes(data), np.uint8)
    except (TypeError, ValueError):
        values = _numbers(data)
    whole = bool((values == np.floor(values)).all())
    if datatype in INTEGERS and not whole:
        raise InputError(f"inputs[0].data holds fractions, but its datatype is {datatype}", "use FP32 or whole numbers")
    return values.astype(np.uint8) if whole else values.astype(np.float32)


def _numbers(data: list[Any]) -> NDArray[np.float64]:
    try:
        values = np.array(data, np.float64)
    except OverflowError:
        values = np.array([math.inf])
    if not ((values >= 0) & (values <= 255)).all():
        raise InputError("inputs[0].data holds values outside 0 to 255", "send raw pixels, not normalised ones")
    return values


def _example(shape: Shape) -> str:
    sizes = ", ".join(map(str, (1, *shape)))
    return f'send {{"inputs": [{{"name": "{INPUT_NAME}", "shape": [{sizes}], "datatype": "UINT8", "data": [...]}}]}}'
