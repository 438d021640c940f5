"""What a model of pictures takes: pixels as tensors, PNG and JPEG files, raw bytes."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytune_app.errors import InputError, MediaError, TooLargeError
from raytune_app.picture import decode, kind, pixels
from serving.web.multipart import MULTIPART, read_each, read_parts
from serving.wire.binary import read_numbers, read_strings
from serving.wire.inputs import CURL_DEFAULT, OCTETS, Tensor, flat, media_type, parsed

MAX_PICTURES = 1024
"""Pictures in one request."""

MAX_PIXELS_TOGETHER = 64_000_000
"""Of the files in one request: what takes long to unfold may be small to send."""

MEDIA = ("image/png", "image/jpeg", OCTETS, CURL_DEFAULT)
JSON = "application/json"
_LIST = "send a list of pictures, each a PNG, a JPEG or raw pixels in base64"
INTEGERS = frozenset({"UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"})
FLOATS = frozenset({"FP32", "FP64"})
RAW_ONLY = frozenset({"FP16", "BF16"})
"""Datatypes without a form in JSON."""

DATATYPES = INTEGERS | FLOATS | RAW_ONLY | {"BOOL"}
LARGEST = {"BOOL": 1, "INT8": 127}
"""Of the datatypes that do not reach 255."""

Shape = tuple[int, int, int]
Picture = NDArray[np.uint8]
Pixels = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pictures:
    """The inputs of a model of pictures; a batch is [N, C, H, W] with values 0 to 255, what waits is uint8 [C, H, W].

    Attributes:
        shape: [C, H, W].
    """

    shape: Shape

    @property
    def name(self) -> str:
        return "pixels"

    @property
    def remedy(self) -> str:
        sizes = ", ".join(map(str, (1, *self.shape)))
        return f'send {{"inputs": [{{"name": "{self.name}", "shape": [{sizes}], "datatype": "UINT8", "data": [...]}}]}}'

    def metadata(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": "UINT8", "shape": [-1, *self.shape]}

    def read_tensor(self, tensor: Tensor) -> Pixels:
        """Pixels of any datatype that holds numbers, or BYTES: a picture file each, in JSON in base64.

        A fraction is rounded to FP32, in which models compute.

        Raises:
            InputError: another shape or kind, or values that are no pixels or do not fit their datatype.
            TooLargeError: over MAX_PICTURES.
        """
        datatype = tensor.datatype
        if datatype == "BYTES":
            return self._read_encoded(tensor)
        if not isinstance(datatype, str) or datatype not in DATATYPES:
            allowed = ", ".join(sorted(DATATYPES))
            raise InputError("inputs[0].datatype is not one of those pixels may have", f"use one of {allowed}")
        sizes = self._sizes(tensor.shape)
        if isinstance(tensor.data, memoryview):
            return _exact(read_numbers(tensor.data, datatype, math.prod(sizes)), datatype).reshape(sizes)
        return _read_pixels(flat(tensor.data, sizes, "numbers"), datatype).reshape(sizes)

    def read_body(self, content_type: str, body: bytes) -> tuple[Pixels, bool]:
        """One picture: a PNG or JPEG by its first bytes; other octets are raw pixels. In parts, or as JSON: several.

        Raises:
            InputError: empty, damaged, or of another size.
            MediaError: a Content-Type that is none of MEDIA, or that is not what the body is.
            TooLargeError: a picture of too many pixels, or too many parts or pixels together.
        """
        if media_type(content_type) == MULTIPART:
            parts = read_parts(content_type, body)
            _check_together(read_each(parts, lambda part: pixels(part.body)))
            read = read_each(parts, lambda part: self._read_picture(media_type(part.content_type), part.body))
            return np.stack(read), True
        if media_type(content_type) == JSON:
            return self._read_files(_from_base64(parsed(body, _LIST))), True
        return self._read_picture(media_type(content_type), body)[np.newaxis], False

    @property
    def max_batch(self) -> int:
        return MAX_PICTURES

    def alone(self, batch: Pixels) -> Picture | None:
        return batch[0] if len(batch) == 1 and batch.dtype == np.uint8 else None

    def stack(self, items: Sequence[Picture]) -> Pixels:
        return np.stack(items)

    def weight(self, examples: Sequence[Picture] | Pixels) -> int:
        return len(examples)

    def _read_encoded(self, tensor: Tensor) -> Pixels:
        shape = tensor.shape
        if not isinstance(shape, list) or len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
            raise InputError("inputs[0].shape is not [N] or [N, 1], as picture files have it", self.remedy)
        if type(shape[0]) is not int or not 0 < shape[0] <= MAX_PICTURES:
            raise InputError(f"inputs[0].shape does not begin with 1 to {MAX_PICTURES:,}", self.remedy)
        if isinstance(tensor.data, memoryview):
            return self._read_files(read_strings(tensor.data, shape[0]))
        return self._read_files(_from_base64(flat(tensor.data, shape, "strings")))

    def _read_files(self, files: list[bytes]) -> Pixels:
        _check_together([pixels(file) for file in files])
        return np.stack([self._read_picture(OCTETS, file) for file in files])

    def _sizes(self, value: Any) -> tuple[int, ...]:
        sizes = (
            isinstance(value, list)
            and len(value) == 4
            and all(type(size) is int and 0 < size < 2**31 for size in value)
        )
        if not sizes or tuple(value[1:]) != self.shape:
            given = f"{value}" if sizes else "not of four sizes"
            expected = ", ".join(map(str, self.shape))
            raise InputError(f"inputs[0].shape is {given}, but this model takes [N, {expected}]", self.remedy)
        if value[0] > MAX_PICTURES:
            raise TooLargeError(f"{value[0]:,} pictures in one request", f"send at most {MAX_PICTURES:,}")
        return tuple(value)

    def _read_picture(self, media: str, body: bytes) -> Picture:
        if not body:
            raise InputError("the body is empty", "send a PNG or JPEG file, or raw pixels")
        if media not in MEDIA:
            raise MediaError("Content-Type is not one this model takes", f"send {', '.join(MEDIA[:3])}")
        if kind(body) is None:
            if media not in (OCTETS, CURL_DEFAULT):
                raise MediaError(f"the body is not {media}", "send a PNG or JPEG file")
            return read_raw(body, self.shape)
        try:
            return decode(body, self.shape)
        except InputError:
            if len(body) != math.prod(self.shape) or media not in (OCTETS, CURL_DEFAULT):
                raise
            return read_raw(body, self.shape)  # raw pixels that happen to begin like a file


def _check_together(counts: Sequence[int]) -> None:
    if (together := sum(counts)) > MAX_PIXELS_TOGETHER:
        remedy = f"send at most {MAX_PIXELS_TOGETHER:,}, or smaller pictures"
        raise TooLargeError(f"the pictures have {together:,} pixels together", remedy)


def _from_base64(content: Any) -> list[bytes]:
    """Raises InputError, TooLargeError."""
    if not isinstance(content, list) or not content or not set(map(type, content)) <= {str}:
        raise InputError("the JSON is not a list of strings", _LIST)
    if len(content) > MAX_PICTURES:
        raise TooLargeError(f"{len(content):,} pictures in one request", f"send at most {MAX_PICTURES:,}")
    try:
        return [base64.b64decode(text, validate=True) for text in content]
    except ValueError as error:
        raise InputError("a picture is not in base64", _LIST) from error


def read_raw(body: bytes, shape: Shape) -> Picture:
    """One picture as exactly C*H*W bytes, row-major; returns [C, H, W]. Raises InputError for another size."""
    expected = math.prod(shape)
    if len(body) != expected:
        raise InputError(
            f"{len(body):,} bytes are neither a PNG nor a JPEG nor the {expected:,} raw bytes of one picture",
            f"send C*H*W = {'*'.join(map(str, shape))} = {expected:,} bytes, or an image file",
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def _read_pixels(data: list[Any], datatype: str) -> Pixels:
    if datatype in RAW_ONLY:
        raise InputError(f"{datatype} has no form in JSON", "send it as bytes, or use FP32")
    what, kinds = ("booleans", {bool}) if datatype == "BOOL" else ("numbers", {int, float})
    if not set(map(type, data)) <= kinds:
        raise InputError(f"inputs[0].data holds something other than {what}", "send numbers from 0 to 255 as UINT8")
    try:
        pixels: NDArray[Any] = np.frombuffer(bytes(data), np.uint8)
    except (TypeError, ValueError):
        pixels = _numbers(data)
    return _exact(pixels, datatype)


def _numbers(data: list[Any]) -> NDArray[np.float64]:
    try:
        return np.array(data, np.float64)
    except OverflowError:
        return np.array([math.inf])


def _exact(values: NDArray[Any], datatype: str) -> Pixels:
    """uint8 where every value is whole, so that one picture gives one answer however it was written."""
    largest = LARGEST.get(datatype, 255)
    if values.dtype == np.uint8 and largest == 255:
        return values
    if not ((values >= 0) & (values <= largest)).all():
        raise InputError(
            f"inputs[0].data holds values outside 0 to {largest}, which {datatype} has of the pixels from 0 to 255",
            "send raw pixels, not normalised ones, as UINT8 or FP32",
        )
    if values.dtype == np.uint8:
        return values
    whole = bool((values == np.floor(values)).all())
    if datatype in INTEGERS and not whole:
        raise InputError(f"inputs[0].data holds fractions, but its datatype is {datatype}", "use FP32 or whole numbers")
    return values.astype(np.uint8) if whole else values.astype(np.float32)
