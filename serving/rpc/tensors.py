"""From the protocol's messages of gRPC to checked requests, and from answers to messages. No server here.

A request brings its tensor as raw bytes or as typed contents, and gets its answer in the same form: clients read no
other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from raytune_app.errors import InputError
from serving.rpc.messages_pb2 import Contents, InferRequest, InferResponse, Parameter, Tensor
from serving.wire import binary
from serving.wire.inputs import Batch, Inputs
from serving.wire.inputs import Tensor as Given
from serving.wire.outputs import Computed, compute, read_outputs
from serving.wire.protocol import InferRequest as Checked
from serving.wire.protocol import Probabilities, read_id

FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where typed contents stand, by datatype; FP16 and BF16 have none."""


class Request(NamedTuple):
    """A request that passed every check, and whether its tensor came as raw bytes."""

    checked: Checked[Any]
    is_raw: bool


def read_infer(message: InferRequest, inputs: Inputs[Any, Batch]) -> Request:
    """Check and decode an infer request. Raises InputError, TooLargeError."""
    if len(message.inputs) != 1:
        raise InputError(f"'inputs' must be one tensor, {inputs.name!r}", f"see ModelMetadata of {message.model_name}")
    tensor = message.inputs[0]
    is_raw = bool(message.raw_input_contents)
    data = _raw(message) if is_raw else _typed(tensor)
    batch = inputs.read_tensor(Given(tensor.datatype, list(tensor.shape), data))
    named = [{"name": each.name, "parameters": _parameters(each.parameters)} for each in message.outputs]
    outputs = read_outputs(named, all_binary=None)
    return Request(Checked(batch, outputs, read_id(message.id)), is_raw)


def infer_answer(
    request: Request, name: str, version: int, labels: Sequence[str], probabilities: Probabilities
) -> InferResponse:
    """The answer to an infer request, in the form the request came in."""
    computed = compute(request.checked.outputs, labels, probabilities)
    answer = InferResponse(model_name=name, model_version=str(version), id=request.checked.id or "")
    for each in computed:
        contents = None if request.is_raw else _contents(each)
        answer.outputs.append(Tensor(name=each.name, datatype=each.datatype, shape=each.shape, contents=contents))
        if request.is_raw:
            answer.raw_output_contents.append(each.octets())
    return answer


def _raw(message: InferRequest) -> memoryview:
    if len(message.raw_input_contents) != 1:
        raise InputError(
            f"raw_input_contents has {len(message.raw_input_contents)} tensors, 'inputs' one", "make them agree"
        )
    if message.inputs[0].HasField("contents"):
        raise InputError("inputs[0] has both 'contents' and raw_input_contents", "send one of them")
    return memoryview(message.raw_input_contents[0])


def _typed(tensor: Tensor) -> list[Any] | memoryview:
    """The values as JSON would have them; strings as the binary extension has them, for they need not be UTF-8."""
    field = FIELDS.get(tensor.datatype)
    if field is None and tensor.HasField("contents"):
        raise InputError("inputs[0].datatype has no typed contents", "send raw_input_contents")
    others = [each.name for each, _ in tensor.contents.ListFields() if each.name != field]
    if others:
        raise InputError(f"inputs[0] has {others[0]}, its datatype another field", f"use {field}")
    values = [] if field is None else list(getattr(tensor.contents, field))
    return memoryview(binary.write_strings(values)) if tensor.datatype == "BYTES" else values


def _contents(computed: Computed) -> Contents:
    values = computed.listed()
    if computed.datatype == "BYTES":
        return Contents(bytes_contents=[value.encode() for value in values])
    return Contents(**{FIELDS[computed.datatype]: values})


def _parameters(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    return {name: getattr(each, each.WhichOneof("choice") or "", None) for name, each in parameters.items()}
