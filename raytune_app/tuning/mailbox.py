"""What people ask of a running study: one small file a command in its folder, taken by the driver.

Whoever can write to the storage can send one; no address of the driver is needed, and none is open.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass
from enum import StrEnum

from raytune_app.errors import NotFoundError, StorageError
from raytune_app.tuning.folder import StudyFolder


class Order(StrEnum):
    """What may be asked."""

    STOP = "stop"
    """End in good order: running trials lose the epoch they are in, all else is kept and can be resumed."""
    PAUSE = "pause"
    """The same, meant to go on: the study's state says so."""
    STOP_TRIAL = "stop_trial"
    """One trial ends with what it has, at its next report."""


@dataclass(frozen=True, slots=True)
class Command:
    """One thing asked; `trial` is its number for `stop_trial`, `by` who asked."""

    order: Order
    by: str
    trial: int | None = None


def send(folder: StudyFolder, command: Command) -> None:
    """Leave the command for the driver. Raises StorageError."""
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"
    folder.storage.write_json(f"{folder.paths.commands}/{name}", asdict(command))


def take(folder: StudyFolder) -> list[Command]:
    """Every command that waits, oldest first; each is handed out once. What is none is thrown away."""
    taken: list[Command] = []
    names = folder.storage.files(folder.paths.commands)
    for name in [name for name in names if not name.startswith(".")]:  # the others are still being written
        path = f"{folder.paths.commands}/{name}"
        try:
            text = folder.storage.read(path)
            folder.storage.delete_file(path)
        except NotFoundError:  # another listing saw it too
            continue
        except StorageError:
            if taken:  # they are gone from the storage: they must not be lost
                break
            raise
        if command := _parsed(text):
            taken.append(command)
    return taken


def _parsed(text: bytes) -> Command | None:
    try:
        content = json.loads(text)
        trial = content["trial"]
        return Command(Order(content["order"]), str(content["by"]), None if trial is None else int(trial))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
