"""What a model of texts takes: strings as BYTES tensors, plain text, JSON. The tokenizer is the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raytune_app.errors import InputError, MediaError, TooLargeError
from serving.web.multipart import MULTIPART, read_each, read_parts
from serving.wire.binary import read_strings
from serving.wire.inputs import CURL_DEFAULT, OCTETS, Tensor, flat, media_type, parsed

MAX_TEXTS = 1024
"""Texts in one request."""

MAX_TEXT_BYTES = 1_000_000
"""Of one text in UTF-8."""

USUAL_CHARACTERS = 256
"""A text of up to this many is one usual example; a longer one weighs as much as several."""

SHARED_CHARACTERS = 4096
"""A longer text waits for no others, and none waits for it."""

JSON = "application/json"
MEDIA = ("text/plain", JSON, OCTETS, CURL_DEFAULT)
_BODY = 'send a text in UTF-8, or as JSON "...", {"text": "..."} or ["...", "..."]'


@dataclass(frozen=True, slots=True)
class Texts:
    """The inputs of a model of texts: any Unicode, as it came. Lone surrogates are no Unicode text and are refused."""

    @property
    def name(self) -> str:
        return "text"

    @property
    def remedy(self) -> str:
        return f'send {{"inputs": [{{"name": "{self.name}", "shape": [1], "datatype": "BYTES", "data": ["..."]}}]}}'

    def metadata(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": "BYTES", "shape": [-1]}

    def read_tensor(self, tensor: Tensor) -> list[str]:
        """Raises InputError for what is not [N] or [N, 1] strings, TooLargeError over MAX_TEXTS or MAX_TEXT_BYTES."""
        if tensor.datatype != "BYTES":
            raise InputError("inputs[0].datatype is not that of texts", "use BYTES")
        sizes = self._sizes(tensor.shape)
        if isinstance(tensor.data, memoryview):
            return [_decoded(each, f"text {i}") for i, each in enumerate(read_strings(tensor.data, sizes[0]))]
        return _checked(flat(tensor.data, sizes, "strings"), "inputs[0].data holds something other than strings")

    def read_body(self, content_type: str, body: bytes) -> tuple[list[str], bool]:
        """One text, or those of a JSON list or of parts.

        Raises:
            InputError: empty, not UTF-8, or not JSON of the form that is taken.
            MediaError: a Content-Type that is none of MEDIA, or a charset other than UTF-8.
            TooLargeError: over MAX_TEXTS or MAX_TEXT_BYTES.
        """
        media = media_type(content_type)
        if media == MULTIPART:
            return read_each(read_parts(content_type, body), lambda part: _decoded(part.body, "the text")), True
        if media not in MEDIA:
            raise MediaError("Content-Type is not one this model takes", f"send {', '.join(MEDIA[:3])}")
        if not body:
            raise InputError("the body is empty", _BODY)
        return _read_json(body) if media == JSON else ([_decoded(body, "the text")], False)

    @property
    def max_batch(self) -> int:
        return MAX_TEXTS

    def alone(self, batch: list[str]) -> str | None:
        return batch[0] if len(batch) == 1 and len(batch[0]) <= SHARED_CHARACTERS else None

    def stack(self, items: Sequence[str]) -> list[str]:
        return list(items)

    def weight(self, examples: Sequence[str]) -> int:
        return sum(1 + len(text) // USUAL_CHARACTERS for text in examples)

    def _sizes(self, value: Any) -> tuple[int, ...]:
        whole = isinstance(value, list) and all(type(size) is int and 0 < size < 2**31 for size in value)
        if not whole or len(value) not in (1, 2) or value[1:] not in ([], [1]):
            raise InputError("inputs[0].shape is not [N] or [N, 1] with N at least 1", self.remedy)
        _count(value[0])
        return tuple(value)


def _read_json(body: bytes) -> tuple[list[str], bool]:
    content = parsed(body, _BODY)
    if isinstance(content, dict):
        if content.keys() != {"text"}:
            raise InputError("the JSON object must have 'text' and nothing else", _BODY)
        content = content["text"]
    if isinstance(content, str):
        return _checked([content], ""), False
    if not isinstance(content, list) or not content:
        raise InputError("the JSON is neither a text nor a list of at least one", _BODY)
    _count(len(content))
    return _checked(content, "the JSON list holds something other than strings"), True


def _count(texts: int) -> None:
    if texts > MAX_TEXTS:
        raise TooLargeError(f"{texts:,} texts in one request", f"send at most {MAX_TEXTS:,}")


def _checked(values: list[Any], otherwise: str) -> list[str]:
    if not set(map(type, values)) <= {str}:
        raise InputError(otherwise, _BODY)
    for number, text in enumerate(values):
        if 4 * len(text) > MAX_TEXT_BYTES:  # no character needs more than 4
            _length(len(text.encode()), f"text {number}")
    return values


def _decoded(octets: bytes, what: str) -> str:
    _length(len(octets), what)
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        wrong = f"{what} is not UTF-8: its byte {error.start:,} (from 0) does not belong there"
        raise InputError(wrong, "send UTF-8") from error


def _length(size: int, what: str) -> None:
    if size > MAX_TEXT_BYTES:
        raise TooLargeError(f"{what} has {size:,} bytes", f"send at most {MAX_TEXT_BYTES:,}")
