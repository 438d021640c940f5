"""True labels that come back: `{"version": "4", "answered": "7", "label": "1"}`, or a list of these.

A client sends back what the endpoint answered beside what is true, so no process has to remember whom it told what.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from raytune_app.errors import InputError, TooLargeError
from raytune_app.registry import MAX_DIGITS
from serving.wire.inputs import parsed

MAX_ITEMS = 1000
REMEDY = 'send {"version": "1", "answered": LABEL, "label": TRUE_LABEL}, or a list of these'
_KEYS = {"version", "answered", "label"}


class Feedback(NamedTuple):
    """Which version answered, and whether it was right."""

    version: int
    right: bool


def read_feedback(body: bytes, labels: Sequence[str]) -> list[Feedback]:
    """Check and decode. Raises InputError, and TooLargeError over MAX_ITEMS."""
    content = parsed(body, REMEDY)
    items = content if isinstance(content, list) else [content]
    if len(items) > MAX_ITEMS:
        raise TooLargeError(f"{len(items):,} items in one request", f"send at most {MAX_ITEMS:,}")
    known = frozenset(labels)
    return [_read(item, known) for item in items]


def read_version(body: bytes) -> int | None:
    """The version that a load or unload names: `{"parameters": {"version": "4"}}`; None if it names none.

    Raises InputError.
    """
    if not body:
        return None
    remedy = 'send nothing, or {"parameters": {"version": "4"}}'
    content = parsed(body, remedy)
    parameters = content.get("parameters") or {} if isinstance(content, dict) else None
    if not isinstance(parameters, dict):
        raise InputError("the body is not what a load takes", remedy)
    version = parameters.get("version")
    return None if version is None else _number(version, remedy)


def _number(version: Any, remedy: str) -> int:
    if not isinstance(version, str) or not version.isdecimal() or len(version) >= MAX_DIGITS:
        raise InputError("'version' is not the number of a version", remedy)
    return int(version)


def _read(item: Any, labels: frozenset[str]) -> Feedback:
    if not isinstance(item, dict) or item.keys() != _KEYS or not all(isinstance(each, str) for each in item.values()):
        raise InputError("the body is not feedback: version, answered and label, each a string", REMEDY)
    version = _number(item["version"], REMEDY)
    for key in ("answered", "label"):
        if item[key] not in labels:
            raise InputError(f"{key!r} is not a label of this model", "GET /v2/models/NAME lists its labels")
    return Feedback(version, item["answered"] == item["label"])
