"""Several examples in one `multipart/form-data` body: each part is one, whatever it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from raytune_app.errors import InputError, TooLargeError
from serving.wire.inputs import OCTETS

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MULTIPART = "multipart/form-data"
MAX_BOUNDARY = 70
"""Characters, as RFC 2046 has it."""

MAX_HEADERS = 8
MAX_HEADER_BYTES = 4096
"""Of one part; and all its headers may take twice as much."""

_REMEDY = "send it as: curl -F a=@one.png -F b=@two.png"


MAX_PARTS = 64

T = TypeVar("T")


class Part(NamedTuple):
    """One example: what its part says it is, and its bytes."""

    content_type: str
    body: bytes


def read_parts(content_type: str, body: bytes, max_parts: int = MAX_PARTS) -> list[Part]:
    """The parts in order.

    Raises:
        InputError: no boundary, one too long, or a body that is not what the header says, or has no part.
        TooLargeError: over `max_parts`; the rest is not looked at.
    """
    from python_multipart.exceptions import MultipartParseError
    from python_multipart.multipart import MultipartParser, parse_options_header

    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY:
        raise InputError(f"the boundary in Content-Type is not 1 to {MAX_BOUNDARY} characters", _REMEDY)
    collector = _Collector(max_parts)
    try:
        parser = MultipartParser(
            boundary, collector.callbacks(), max_header_count=MAX_HEADERS, max_header_size=MAX_HEADER_BYTES
        )
        parser.write(body)
    except MultipartParseError as error:
        raise InputError("the body is not the multipart/form-data that its header says", _REMEDY) from error
    if not collector.ended or not collector.parts:
        raise InputError("the multipart body has no part, or is cut off", _REMEDY)
    return collector.parts


def read_each(parts: Sequence[Part], read: Callable[[Part], T]) -> list[T]:
    """What `read` makes of each part; its error says which part it was."""
    read_so_far = list[T]()
    for number, part in enumerate(parts):
        try:
            read_so_far.append(read(part))
        except InputError as error:
            raise type(error)(f"part {number} (from 0): {error.message}", error.remedy) from error
    return read_so_far


class _Collector:
    """Keeps what the parser reports."""

    def __init__(self, max_parts: int) -> None:
        self.parts = list[Part]()
        self.ended = False
        self._max_parts = max_parts
        self._name, self._value = b"", b""
        self._type = OCTETS
        self._pieces = list[bytes]()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self.part_begin,
            "on_part_data": self.part_data,
            "on_part_end": self.part_end,
            "on_header_field": self.header_field,
            "on_header_value": self.header_value,
            "on_header_end": self.header_end,
            "on_end": self.end,
        }

    def part_begin(self) -> None:
        if len(self.parts) >= self._max_parts:
            raise TooLargeError(f"over {self._max_parts:,} parts in one request", "send them in several requests")
        self._type, self._pieces = OCTETS, []

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def part_end(self) -> None:
        self.parts.append(Part(self._type, b"".join(self._pieces)))

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._name.lower() == b"content-type":
            self._type = self._value.decode("latin-1")
        self._name, self._value = b"", b""

    def end(self) -> None:
        self.ended = True
