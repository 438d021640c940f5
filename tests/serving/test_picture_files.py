"""Several picture files in one request, as JSON or as BYTES tensors, answer as each of them alone."""

import base64
import io
import json
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytune_app.errors import InputError, MediaError, TooLargeError
from serving.wire.pictures import MAX_PICTURES, Pictures
from serving.wire.protocol import read_infer

SHAPE = (1, 4, 4)
PICTURES = Pictures(SHAPE)
JSON = "application/json"


def files() -> list[bytes]:
    """A PNG, a JPEG of another size, and raw pixels."""
    found = []
    for value, size, kind in ((200, 4, "PNG"), (40, 9, "JPEG")):
        buffer = io.BytesIO()
        Image.new("L", (size, size), value).save(buffer, kind)
        found.append(buffer.getvalue())
    return [*found, bytes(range(16))]


def encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def alone() -> np.ndarray:
    return np.concatenate([PICTURES.read_body("application/octet-stream", each)[0] for each in files()])


def tensor(data: Any, shape: list[int], size: int | None = None) -> bytes:
    content = {"parameters": {"binary_data_size": size}} if size is not None else {"data": data}
    return json.dumps({"inputs": [{"name": "x", "shape": shape, "datatype": "BYTES", **content}]}).encode()


def test_a_json_list_is_its_pictures() -> None:
    batch, several = PICTURES.read_body(JSON, json.dumps(list(map(encoded, files()))).encode())
    assert several
    assert (batch == alone()).all()


@pytest.mark.parametrize("shape", [[3], [3, 1]])
def test_a_tensor_of_files_is_its_pictures(shape: list[int]) -> None:
    texts = list(map(encoded, files()))
    in_json = read_infer(tensor([[text] for text in texts] if len(shape) == 2 else texts, shape), None, PICTURES)
    octets = b"".join(struct.pack("<I", len(file)) + file for file in files())
    head = tensor(None, shape, len(octets))
    in_bytes = read_infer(head + octets, len(head), PICTURES)
    for request in (in_json, in_bytes):
        assert (request.batch == alone()).all()


@pytest.mark.parametrize("wrong", [[], ["%"], [1], {"a": 1}, "QUFB", [encoded(b"GIF89a")], [encoded(b"")]])
def test_what_is_no_list_of_pictures_is_refused(wrong: Any) -> None:
    with pytest.raises((InputError, MediaError)):
        PICTURES.read_body(JSON, json.dumps(wrong).encode())


def test_too_many_are_refused_before_any_is_decoded() -> None:
    with pytest.raises(TooLargeError):
        PICTURES.read_body(JSON, json.dumps(["AAAA"] * (MAX_PICTURES + 1)).encode())


@pytest.mark.parametrize("shape", [[], [0], [-1], [2], [3, 2], [True], "3", [3, 1, 1]])
def test_a_shape_that_is_not_the_files_is_refused(shape: Any) -> None:
    with pytest.raises(InputError):
        read_infer(tensor(list(map(encoded, files())), shape), None, PICTURES)
