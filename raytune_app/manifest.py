"""How a version's folder proves its integrity: manifest.json has the sha256 and size of what counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from raytune_app.errors import CorruptModelError, NotFoundError
from raytune_app.storage import Storage

SCHEMA_VERSION = 1
MODEL, WEIGHTS, GOLDEN, CARD = "model.json", "weights.safetensors", "golden.safetensors", "MODEL_CARD.md"
MANIFEST = "manifest.json"
GRAPH = "model.onnx"
FILES = (MODEL, WEIGHTS, GOLDEN)
"""What every version has, and the manifest proves; it may also have a GRAPH. The CARD is for people, and may grow."""
CORRUPT_REMEDY = "restore the version from a copy, or promote another version"


def write(storage: Storage, folder: str, files: Mapping[str, bytes]) -> None:
    """Write every file, then the manifest: it makes the version exist. Raises StorageError."""
    for file, content in files.items():
        storage.write(f"{folder}/{file}", content)
    proven = {file: content for file, content in files.items() if file != CARD}
    entries = {file: {"sha256": sha256(content), "bytes": len(content)} for file, content in proven.items()}
    storage.write_json(f"{folder}/{MANIFEST}", {"schema_version": SCHEMA_VERSION, "files": entries})


def read(storage: Storage, folder: str) -> dict[str, bytes]:
    """Every file by name, each but the card equal to its sha256. Raises CorruptModelError naming one that is not."""
    entries = _entries(storage, folder)
    proven = {file: _checked(storage, f"{folder}/{file}", entries[file]) for file in entries}
    return {**proven, CARD: _card(storage, folder)}


def add_to_card(storage: Storage, folder: str, section: str) -> None:
    """Append markdown to the card. Raises StorageError."""
    storage.write(f"{folder}/{CARD}", _card(storage, folder).rstrip() + b"\n\n" + section.encode())


def _card(storage: Storage, folder: str) -> bytes:
    path = f"{folder}/{CARD}"
    return storage.read(path) if storage.exists(path) else b""


def corrupt(location: str, what: str) -> CorruptModelError:
    """The error for a file of a version."""
    return CorruptModelError(f"{location} {what}", CORRUPT_REMEDY)


def _entries(storage: Storage, folder: str) -> dict[str, str]:
    location = storage.location(f"{folder}/{MANIFEST}")
    try:
        manifest = json.loads(storage.read(f"{folder}/{MANIFEST}"))
        entries = {file: manifest["files"][file]["sha256"] for file in FILES}
        return entries | {file: entry["sha256"] for file, entry in manifest["files"].items() if file == GRAPH}
    except NotFoundError as error:
        raise corrupt(location, "is missing") from error
    except (ValueError, KeyError, TypeError) as error:
        raise corrupt(location, "is damaged") from error


def _checked(storage: Storage, path: str, expected: str) -> bytes:
    try:
        content = storage.read(path)
    except NotFoundError as error:
        raise corrupt(storage.location(path), "is missing") from error
    if sha256(content) != expected:
        raise corrupt(storage.location(path), "does not match its sha256 in the manifest")
    return content


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()
