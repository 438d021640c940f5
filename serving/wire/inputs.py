"""What a kind of model takes, without saying which: how a request becomes a batch, and what all kinds share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, TypeVar

from pydantic_core import from_json

from raytune_app.errors import InputError, MediaError
from serving.wire.jsons import check_json

OCTETS = "application/octet-stream"
CURL_DEFAULT = "application/x-www-form-urlencoded"
"""What `curl --data-binary @digit.png` claims unasked; read as octets."""

_UTF_8 = ("utf-8", "utf8", "us-ascii")

Item = TypeVar("Item")
Batch = TypeVar("Batch")


class Inputs(Protocol[Item, Batch]):
    """What a kind of model takes: how a request becomes a batch, and how examples that wait together become one."""

    @property
    def name(self) -> str:
        """Of the one input tensor."""

    @property
    def max_batch(self) -> int:
        """Examples in one request at most."""

    @property
    def remedy(self) -> str:
        """A good request in one line, for who sent a bad one."""

    def metadata(self) -> dict[str, Any]:
        """Name, datatype and shape of the input tensor; a variable dimension is -1."""

    def read_tensor(self, tensor: Tensor) -> Batch:
        """The examples of an infer request. Raises InputError, TooLargeError."""

    def read_body(self, content_type: str, body: bytes) -> tuple[Batch, bool]:
        """The examples of a classify request, and whether they came as a list. Raises InputError and its children."""

    def alone(self, batch: Batch) -> Item | None:
        """The only example of `batch`, if it is one that may be computed together with others that wait."""

    def stack(self, items: Sequence[Item]) -> Batch:
        """One batch of examples that waited together."""

    def weight(self, examples: Sequence[Item] | Batch) -> int:
        """As much work as this many usual examples."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """The one input of an infer request: `datatype` and `shape` are as sent, yet to be checked.

    Attributes:
        data: a list from JSON, or the bytes that came behind it.
    """

    datatype: Any
    shape: Any
    data: list[Any] | memoryview


def media_type(content_type: str) -> str:
    """The Content-Type without its parameters, in lower case. Raises MediaError for a charset other than UTF-8."""
    media, *parameters = content_type.lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in _UTF_8:
            raise MediaError("the charset of Content-Type is not UTF-8", "send UTF-8")
    return media.strip()


def parsed(body: bytes | memoryview, remedy: str) -> Any:
    """What stands in a JSON body. A lone surrogate is no character, so it is refused as well.

    Raises:
        InputError: empty, or not JSON.
        TooLargeError: of too many parts.
    """
    if not body:
        raise InputError("the body is empty", remedy)
    octets = bytes(body)
    check_json(octets)
    try:
        return from_json(octets, allow_inf_nan=False)
    except ValueError as error:
        if "hex escape" in str(error):
            wrong = f"the JSON has a lone surrogate, half of a character: {error}"
            raise InputError(wrong, "send whole characters") from error
        raise InputError(f"the body is not JSON: {error}", remedy) from error


def flat(data: list[Any], sizes: Sequence[int], what: str) -> list[Any]:
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
        wrong = f"inputs[0].data has {len(data):,} {what}, its shape {math.prod(sizes):,}"
        raise InputError(wrong, "make them agree")
    return data
