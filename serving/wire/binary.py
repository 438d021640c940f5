"""The protocol's binary tensor extension: JSON, then the tensors' bytes, little-endian and row-major without gaps.

An element of a BYTES tensor is its length in 4 bytes, then its own bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytune_app.errors import InputError

HEADER = "Inference-Header-Content-Length"
"""The HTTP header that says how many bytes of JSON come before the tensors'."""

_NUMBERS = {
    "BOOL": "u1",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "BF16": "<u2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_LENGTH = struct.Struct("<I")


def header_value(value: bytes) -> int:
    """How many bytes of JSON, as the header says. Raises InputError."""
    if not value.isdigit() or len(value) > 10:
        raise InputError(f"{HEADER} is no number of bytes", "send the length of the JSON, or leave the header out")
    return int(value)


def split(body: bytes, json_bytes: int | None) -> tuple[memoryview, memoryview]:
    """The JSON and what follows it. Raises InputError if there is less JSON than the header says."""
    view = memoryview(body)
    if json_bytes is None:
        return view, view[:0]
    if json_bytes > len(view):
        raise InputError(f"{HEADER} says {json_bytes:,} bytes, the body has {len(view):,}", "make them agree")
    return view[:json_bytes], view[json_bytes:]


def whole(blob: memoryview, size: Any, *, has_data: bool) -> memoryview:
    """`blob`, if it is as long as the tensor says. Raises InputError."""
    if has_data:
        raise InputError("inputs[0] has both 'data' and parameters.binary_data_size", "send one of them")
    if type(size) is not int or size != len(blob):
        said = f"{size:,}" if type(size) is int and abs(size) < 2**63 else "no number"
        wrong = f"inputs[0].parameters.binary_data_size is {said}, but {len(blob):,} bytes follow the JSON"
        raise InputError(wrong, f"send the tensor's bytes behind the JSON, and the JSON's length as {HEADER}")
    return blob


def read_numbers(blob: memoryview, datatype: str, count: int) -> NDArray[Any]:
    """A tensor of `count` numbers, flat; BOOL as they came, BF16 as float32. Raises InputError for another size."""
    kind = np.dtype(_NUMBERS[datatype])
    if len(blob) != count * kind.itemsize:
        wrong = f"inputs[0] has {len(blob):,} bytes, its shape and datatype {count * kind.itemsize:,}"
        raise InputError(wrong, "make them agree")
    numbers = np.frombuffer(blob, kind)
    return (numbers.astype("<u4") << 16).view("<f4") if datatype == "BF16" else numbers


def read_strings(blob: memoryview, count: int) -> list[bytes]:
    """A BYTES tensor of `count` elements. Raises InputError if `blob` is not that."""
    strings, start = list[bytes](), 0
    while start + _LENGTH.size <= len(blob) and len(strings) < count:
        (length,) = _LENGTH.unpack_from(blob, start)
        start += _LENGTH.size
        strings.append(bytes(blob[start : start + length]))
        start += length
    if start != len(blob) or len(strings) != count:
        wrong = f"the {len(blob):,} bytes of inputs[0] are not {count:,} elements"
        raise InputError(wrong, "send each as 4 bytes of length, little-endian, and its own bytes")
    return strings


def write_strings(strings: Sequence[bytes]) -> bytes:
    """The inverse of `read_strings`."""
    return b"".join(part for string in strings for part in (_LENGTH.pack(len(string)), string))
