"""Open Inference Protocol v2: what a request may be, checked before any work, and what an answer looks like.

    $infer_request  = { "id"?, "parameters"?, "inputs": [$input], "outputs"?: [{"name", "parameters"?}] }
    $input          = { "name", "shape", "datatype", "data": flat or nested, or "parameters": {"binary_data_size"} }
    $infer_response = { "model_name", "model_version", "id"?, "outputs": [$output] }
    $output         = { "name", "shape", "datatype", "data" or "parameters": {"binary_data_size"} }

What a tensor means is for `serving.pictures` and `serving.texts` to say. No HTTP and no model here. Messages say what
was expected; none repeats what the client sent beyond names and sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from raytune_app.errors import InputError, RaytuneError
from serving import binary
from serving.inputs import OCTETS, Batch, Inputs, Tensor, parsed

MAX_BODY_BYTES = 32 * 2**20
_SIZE = "binary_data_size"
_SEE = "see the Open Inference Protocol v2"

Probabilities = NDArray[np.float32]


class Output(StrEnum):
    """What a classifier answers, in the order of an answer that asks for nothing in particular."""

    PROBABILITIES = "probabilities"
    INDEX = "index"
    LABEL = "label"


DATATYPES = {Output.PROBABILITIES: "FP32", Output.INDEX: "INT64", Output.LABEL: "BYTES"}


@dataclass(frozen=True, slots=True)
class InferRequest(Generic[Batch]):
    """A request that passed every check.

    Attributes:
        binary: those of `outputs` that are wanted as bytes behind the JSON.
    """

    batch: Batch
    outputs: tuple[Output, ...]
    id: str | None
    binary: frozenset[Output] = frozenset()


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
        return InferRequest(batch, tuple(Output), None, frozenset(Output))
    head, blob = binary.split(body, json_bytes)
    request = _mapping(parsed(head, "send a JSON object with 'inputs'"), "the body")
    tensors = request.get("inputs")
    if not isinstance(tensors, list) or len(tensors) != 1:
        raise InputError(f"'inputs' must be a list of one tensor, {inputs.name!r}", inputs.remedy)
    batch = inputs.read_tensor(_read_tensor(_mapping(tensors[0], "inputs[0]"), blob, inputs.remedy))
    outputs = _read_outputs(request.get("outputs"))
    everywhere = _flag(request.get("parameters"), "binary_data_output")
    wanted = frozenset(output for output, own in outputs.items() if (everywhere if own is None else own))
    return InferRequest(batch, tuple(outputs), _read_id(request.get("id")), wanted)


def infer_answer(
    request: InferRequest[Any], name: str, version: int, labels: Sequence[str], probabilities: Probabilities
) -> Answer:
    """The answer to an infer request; FP32 values in JSON are written so that reading them gives the same bits back."""
    index = probabilities.argmax(axis=1)
    tensors, blobs = list[dict[str, Any]](), list[bytes]()
    for output in request.outputs:
        shape = list(probabilities.shape) if output is Output.PROBABILITIES else [len(index)]
        tensor = {"name": output, "datatype": DATATYPES[output], "shape": shape}
        if output in request.binary:
            blobs.append(_octets(output, labels, probabilities, index))
            tensors.append({**tensor, "parameters": {_SIZE: len(blobs[-1])}})
        else:
            tensors.append({**tensor, "data": _values(output, labels, probabilities, index)})
    echo = {} if request.id is None else {"id": request.id}
    head = to_json({"model_name": name, "model_version": str(version), **echo, "outputs": tensors})
    return Answer(b"".join([head, *blobs]), len(head)) if request.binary else Answer(head)


def classify_answer(name: str, version: int, labels: Sequence[str], probabilities: Probabilities) -> bytes:
    """The short JSON answer for one example; `probabilities` is [K]."""
    return to_json({"model": name, "version": str(version), **_answered(labels, probabilities)})


def classify_answers(name: str, version: int, labels: Sequence[str], probabilities: Probabilities) -> bytes:
    """The short JSON answer for a list of examples; `probabilities` is [N, K]."""
    answers = [_answered(labels, row) for row in probabilities]
    return to_json({"model": name, "version": str(version), "answers": answers})


def server_metadata(version: str) -> dict[str, Any]:
    """Name, version and the protocol extensions there are."""
    return {"name": "raytune", "version": version, "extensions": ["binary_tensor_data"]}


def model_metadata(
    name: str, versions: Sequence[int], inputs: Inputs[Any, Any], labels: Sequence[str]
) -> dict[str, Any]:
    """Name, versions, platform, inputs and outputs; a variable dimension is -1."""
    sizes = {Output.PROBABILITIES: [-1, len(labels)]}
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": "pytorch_safetensors",
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


def _values(output: Output, labels: Sequence[str], probabilities: Probabilities, index: NDArray[np.intp]) -> list[Any]:
    match output:
        case Output.PROBABILITIES:
            return list(probabilities.ravel().tolist())
        case Output.INDEX:
            return list(index.tolist())
        case Output.LABEL:
            return [labels[i] for i in index]


def _octets(output: Output, labels: Sequence[str], probabilities: Probabilities, index: NDArray[np.intp]) -> bytes:
    match output:
        case Output.PROBABILITIES:
            return probabilities.astype("<f4").tobytes()
        case Output.INDEX:
            return index.astype("<i8").tobytes()
        case Output.LABEL:
            return binary.write_strings([labels[i].encode() for i in index])


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


def _read_id(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and len(value) <= 256):
        return value
    raise InputError("'id' must be a string of at most 256 characters", "leave it out or shorten it")


def _read_outputs(value: Any) -> dict[Output, bool | None]:
    """The outputs asked for, and what each says itself about being binary."""
    if value is None or value == []:
        return dict.fromkeys(Output)
    known = f"the outputs are {', '.join(Output)}"
    if not isinstance(value, list) or len(value) > len(Output):
        raise InputError("'outputs' must be a list that names each output once", known)
    try:
        return {Output(each["name"]): _flag(each.get("parameters"), "binary_data") for each in value}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError("'outputs' names an output that this model does not have", known) from error


def _flag(parameters: Any, name: str) -> bool | None:
    value = parameters.get(name) if isinstance(parameters, dict) else None
    if value is None or isinstance(value, bool):
        return value
    raise InputError(f"the parameter {name!r} must be true or false", _SEE)
