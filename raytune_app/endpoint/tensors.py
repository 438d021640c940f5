"""Examples as the body of an infer request, and an answer's probabilities out of it: the client's side.

Pictures and probabilities go as bytes behind the JSON, so that neither side spends its time on writing numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import PydanticSerializationError, from_json, to_json

from raytune_app.errors import EndpointError, InputError

BATCH = 250
"""Examples in one request."""
BATCH_CHARACTERS = 2**21
"""And characters: at most 13 MB of JSON, well under the endpoint's limit; a longer text is a request of its own."""
HEADER = "inference-header-content-length"
OCTETS = "application/octet-stream"
_OUTPUTS = [{"name": "probabilities", "parameters": {"binary_data": True}}]

Examples = NDArray[np.uint8] | Sequence[str]
"""Pictures uint8 [N, C, H, W], or N texts."""


def batches(examples: Examples) -> Iterator[Examples]:
    """In order, each of at most BATCH examples and about BATCH_CHARACTERS characters."""
    start = size = 0
    for place, example in enumerate(examples):
        added = len(example) if isinstance(example, str) else 0
        if place > start and (place - start == BATCH or size + added > BATCH_CHARACTERS):
            yield examples[start:place]
            start, size = place, 0
        size += added
    if start < len(examples):
        yield examples[start:]


def request(examples: Examples) -> tuple[bytes, dict[str, str]]:
    """Body and headers that ask for the probabilities. Raises InputError for a text with a lone surrogate."""
    tensor: dict[str, Any]
    if isinstance(examples, np.ndarray):
        octets = examples.tobytes()
        tensor = {"name": "pixels", "datatype": "UINT8", "shape": list(examples.shape)}
        tensor["parameters"] = {"binary_data_size": len(octets)}
    else:
        octets = b""
        tensor = {"name": "text", "datatype": "BYTES", "shape": [len(examples)], "data": list(examples)}
    head = as_json({"inputs": [tensor], "outputs": _OUTPUTS})
    return head + octets, {"content-type": OCTETS, HEADER: str(len(head))}


def probabilities(body: bytes, head: str | None) -> tuple[NDArray[np.float32], str]:
    """Float32 [N, K] to the bit, and the version that answered. Raises EndpointError if it is no such answer.

    Args:
        head: the answer's header HEADER.
    """
    try:
        size = int(head or "")
        answer = from_json(body[:size])
        shape = answer["outputs"][0]["shape"]
        return np.frombuffer(body[size:], "<f4").astype(np.float32).reshape(shape), answer["model_version"]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise EndpointError(
            "the endpoint's answer is not the one asked for", "does it run the same release?"
        ) from error


def as_json(content: Any) -> bytes:
    """Raises InputError for a text with a lone surrogate, which no request can hold."""
    try:
        return to_json(content)
    except PydanticSerializationError as error:
        raise InputError("a text holds a lone surrogate, half of a character", "mend the text") from error
