"""Aliases of a model's versions, and its rollout: one line an event; where each alias points follows by replay.

    promote    the alias points to `version`          rollback   it points to `version` again
    rollout    `version` is tried beside the champion  end        no longer; every move of the champion ends it too

A line that a crash cut short is passed over: it never happened. On an object store, which cannot append, two promotions
at the very same moment may keep only one of the two.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from raytune_app.names import check_name
from raytune_app.rollout.traffic import Rollout
from raytune_app.storage import Storage

CHAMPION = "champion"
PROMOTE, ROLLBACK, ROLLOUT, END = "promote", "rollback", "rollout", "end"
_ACTIONS = (PROMOTE, ROLLBACK, ROLLOUT, END)


def history(storage: Storage, name: str) -> list[dict[str, Any]]:
    """Every event of the model, oldest first: `at` (UTC), `alias`, `action`, `version`, maybe `reason` or `rollout`."""
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
        elif event["action"] == ROLLBACK and len(stack) > 1:
            stack.pop()
    return {alias: stack for alias, stack in found.items() if stack}


def rollout(storage: Storage, name: str) -> Rollout | None:
    """The rollout that no later event ended."""
    last = next((event for event in reversed(history(storage, name)) if event["alias"] == CHAMPION), None)
    if last is None or last["action"] != ROLLOUT:
        return None
    try:
        return Rollout.model_validate(last["rollout"])
    except (KeyError, ValidationError):
        return None  # of a newer release: better none than half of one


def log(storage: Storage, name: str, alias: str, action: str, version: int, **more: Any) -> None:
    """Write one event. Raises StorageError."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    said = {key: value for key, value in more.items() if value}
    storage.append(_path(name), json.dumps({"at": now, "alias": alias, "action": action, "version": version, **said}))


def _path(name: str) -> str:
    return f"models/{check_name(name, 'model')}/aliases.jsonl"


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(event, dict) and isinstance(event.get("alias"), str) and isinstance(event.get("version"), int)
    return event if whole and event.get("action") in _ACTIONS else None
