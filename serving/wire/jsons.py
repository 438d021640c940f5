"""What a JSON body becomes in memory, told before it is parsed: `[[],[],...]` grows to 25 times its size."""

from __future__ import annotations

from raytune_app.errors import TooLargeError

MAX_ELEMENTS = 2**22
MAX_LISTS = 2**20
MAX_OBJECTS = 10_000
MAX_DEPTH = 201
"""Lists in lists; the parser's own limit."""

LOOK_FROM_BYTES = 2**16
"""A smaller body cannot become much."""

_ELEMENT_BYTES, _LIST_BYTES, _OBJECT_BYTES = 64, 80, 240
_MOST_BYTES = MAX_ELEMENTS * _ELEMENT_BYTES + MAX_LISTS * _LIST_BYTES + MAX_OBJECTS * _OBJECT_BYTES


def json_weight(body: bytes) -> int:
    """The most bytes that parsing makes of `body`, if `check_json` lets it through; it need not be JSON at all."""
    elements, lists, objects = _counts(body)
    return min(elements * _ELEMENT_BYTES + lists * _LIST_BYTES + objects * _OBJECT_BYTES, _MOST_BYTES)


def check_json(body: bytes) -> None:
    """Raises TooLargeError over MAX_ELEMENTS, MAX_LISTS or MAX_OBJECTS; signs inside strings count too."""
    if len(body) <= LOOK_FROM_BYTES:
        return
    limits = zip(("elements", "lists", "objects"), _counts(body), (MAX_ELEMENTS, MAX_LISTS, MAX_OBJECTS), strict=True)
    for what, count, limit in limits:
        if count > limit:
            raise TooLargeError(f"the JSON has {count:,} {what}", f"send at most {limit:,}, or binary tensors")


def _counts(body: bytes) -> tuple[int, int, int]:
    return body.count(b",") + 1, body.count(b"["), body.count(b"{")
