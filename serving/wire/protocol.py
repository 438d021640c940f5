"""Open Inference Protocol v2: what a request may be, checked before any work, and what an answer looks like.

    $infer_request  = { "id"?, "parameters"?, "inputs": [$input], "outputs"?: [{"name", "parameters"?}] }
    $input          = { "name", "shape", "datatype", "data": flat or nested, or "parameters": {"binary_data_size"} }
    $infer_response = { "model_name", "model_version", "id"?, "outputs": [$output] }
    $output         = { "name", "shape", "datatype", "data" or "parameters": {"binary_data_size"} }

What a tensor means is for `pictures` and `texts` to say. No HTTP and no model here. Messages say what was expected;
none repeats what the client sent beyond names and sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from raytune_app.errors import InputError, RaytuneError
from serving.wire import binary
from serving.wire.inputs import OCTETS, Batch, Inputs, Tensor, parsed
from serving.wire.outputs import ALL_BINARY, CLASSES, DATATYPES, Output, Wanted, compute, flag, read_outputs

MAX_BODY_BYTES = 32 * 2**20
MAX_ID = 256
PLATFORM = "pytorch_safetensors"
EXTENSIONS = ("binary_tensor_data", CLASSES, "model_configuration", "model_repository", "statistics")
"""Those of Triton's that are whole here."""

_SIZE = "binary_data_size"
_SEE = "see the Open Inference Protocol v2"

Probabilities = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class InferRequest(Generic[Batch]):
    """A request that passed every check."""

    batch: Batch
    outputs: tuple[Wanted, ...]
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer.

    Attributes:
        json_bytes: how much of it is JSON, if bytes of tensors follow; None if all of it is.
    """

    body: bytes
    json_bytes: int | None = None


def read_infer(body: bytes, json_bytes: int | None, inputs: Inputs[Any, Batch]) -> InferRequest[Batch]:
    """Check and decode an infer request.

    Args:
        json_bytes: how much of the body is JSON, by the client's header; 0: the body is one raw example, and the
            answer's tensors are wanted as bytes, as the binary extension has it. None: all of it is JSON.

    Raises:
        InputError: not JSON, not the protocol, or not what the model takes; says what was expected.
        TooLargeError: more examples, or longer ones, than are taken.
    """
    if json_bytes == 0:
        batch, _ = inputs.read_body(OCTETS, body)
        return InferRequest(batch, ALL_BINARY)
    head, blob = binary.split(body, json_bytes)
    request = _mapping(parsed(head, "send a JSON object with 'inputs'"), "the body")
    tensors = request.get("inputs")
    if not isinstance(tensors, list) or len(tensors) != 1:
        raise InputError(f"'inputs' must be a list of one tensor, {inputs.name!r}", inputs.remedy)
    batch = inputs.read_tensor(_read_tensor(_mapping(tensors[0], "inputs[0]"), blob, inputs.remedy))
    everywhere = flag(request.get("parameters"), "binary_data_output")
    outputs = read_outputs(request.get("outputs"), all_binary=everywhere)
    return InferRequest(batch, outputs, read_id(request.get("id")))


def infer_answer(
    request: InferRequest[Any], name: str, version: int, labels: Sequence[str], probabilities: Probabilities
) -> Answer:
    """The answer to an infer request; FP32 values in JSON are written so that reading them gives the same bits back."""
    tensors, blobs = list[dict[str, Any]](), list[bytes]()
    outputs = compute(request.outputs, labels, probabilities)
    for wanted, output in zip(request.outputs, outputs, strict=True):
        tensor = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if wanted.binary:
            blobs.append(output.octets())
            tensors.append({**tensor, "parameters": {_SIZE: len(blobs[-1])}})
        else:
            tensors.append({**tensor, "data": output.listed()})
    echo = {} if request.id is None else {"id": request.id}
    head = to_json({"model_name": name, "model_version": str(version), **echo, "outputs": tensors})
    return Answer(b"".join([head, *blobs]), len(head)) if blobs else Answer(head)


def classify_answer(name: str, version: int, labels: Sequence[str], probabilities: Probabilities) -> bytes:
    """The short JSON answer for one example; `probabilities` is [K]."""
    return to_json({"model": name, "version": str(version), **_answered(labels, probabilities)})


def classify_answers(name: str, version: int, labels: Sequence[str], probabilities: Probabilities) -> bytes:
    """The short JSON answer for a list of examples; `probabilities` is [N, K]."""
    answers = [_answered(labels, row) for row in probabilities]
    return to_json({"model": name, "version": str(version), "answers": answers})


def server_metadata(version: str) -> dict[str, Any]:
    """Name, version and the protocol extensions there are."""
    return {"name": "raytune", "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(
    name: str, versions: Sequence[int], inputs: Inputs[Any, Any], labels: Sequence[str]
) -> dict[str, Any]:
    """Name, versions, platform, inputs and outputs; a variable dimension is -1."""
    sizes = {Output.PROBABILITIES: [-1, len(labels)]}
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": PLATFORM,
        "inputs": [inputs.metadata()],
        "outputs": [{"name": each, "datatype": DATATYPES[each], "shape": sizes.get(each, [-1])} for each in Output],
        "labels": list(labels),
    }


def error_answer(error: RaytuneError) -> bytes:
    """`{"error": ...}`: what is wrong, then what to do."""
    return to_json({"error": f"{error.message}; {error.remedy}" if error.remedy else error.message})


def _answered(labels: Sequence[str], row: Probabilities) -> dict[str, Any]:
    index = int(row.argmax())
    by_label = dict(zip(labels, row.tolist(), strict=True))
    return {"label": labels[index], "index": index, "probabilities": by_label}


def read_id(value: Any) -> str | None:
    """What a client calls its request. Raises InputError."""
    if value is None or (isinstance(value, str) and len(value) <= MAX_ID):
        return value
    raise InputError(f"'id' must be a string of at most {MAX_ID} characters", "leave it out or shorten it")


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{what} must be a JSON object", _SEE)
    return value


def _read_tensor(tensor: Mapping[str, Any], blob: memoryview, remedy: str) -> Tensor:
    if not isinstance(tensor.get("name"), str):
        raise InputError("inputs[0] has no 'name'", remedy)
    data, parameters = tensor.get("data"), tensor.get("parameters")
    if isinstance(parameters, dict) and _SIZE in parameters:
        data = binary.whole(blob, parameters[_SIZE], has_data=data is not None)
    elif blob:
        raise InputError(f"{len(blob):,} bytes follow the JSON", f"say whose they are: inputs[0].parameters.{_SIZE}")
    elif not isinstance(data, list):
        raise InputError("inputs[0].data must be a list, flat or nested", remedy)
    return Tensor(tensor.get("datatype"), tensor.get("shape"), data)
