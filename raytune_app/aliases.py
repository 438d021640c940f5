"""Aliases of a model's versions: one line a promotion or rollback; where each points follows by replay.

A line that a crash cut short is passed over: it never happened. On an object store, which cannot append, two promotions
at the very same moment may keep only one of the two.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from raytune_app.names import check_name
from raytune_app.storage import Storage

CHAMPION = "champion"
PROMOTE, ROLLBACK = "promote", "rollback"


def history(storage: Storage, name: str) -> list[dict[str, Any]]:
    """Every promotion and rollback of the model, oldest first: `at` (UTC), `alias`, `action`, `version`."""
    path = _path(name)
    lines = storage.read_text(path).splitlines() if storage.exists(path) else []
    return [event for event in map(_event, lines) if event is not None]


def stacks(storage: Storage, name: str) -> dict[str, list[int]]:
    """By alias, the versions it pointed to that a rollback can return to; the last is in use."""
    found: dict[str, list[int]] = {}
    for event in history(storage, name):
        stack = found.setdefault(event["alias"], [])
        if event["action"] == PROMOTE:
            stack.append(event["version"])
        elif len(stack) > 1:
            stack.pop()
    return {alias: stack for alias, stack in found.items() if stack}


def log(storage: Storage, name: str, alias: str, action: str, version: int) -> None:
    """Write one event. Raises StorageError."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    storage.append(_path(name), json.dumps({"at": now, "alias": alias, "action": action, "version": version}))


def _path(name: str) -> str:
    return f"models/{check_name(name, 'model')}/aliases.jsonl"


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(event, dict) and isinstance(event.get("alias"), str) and isinstance(event.get("version"), int)
    return event if whole and event.get("action") in (PROMOTE, ROLLBACK) else None
