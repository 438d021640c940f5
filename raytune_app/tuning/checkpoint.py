"""A learner's state as files: tensors as safetensors, values as JSON, and a user's own files as they are."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load as load_tensors
from safetensors.torch import save_file

from raytune_app.storage import Storage
from raytune_app.training.state import State

WEIGHTS = "state.safetensors"
VALUES = "state.json"
FILES = "files"
"""Below a checkpoint: what a user's own training keeps for itself."""


def write_state(state: State, folder: Path) -> None:
    """Write a checkpoint into a local folder that exists."""
    save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, folder / WEIGHTS)
    (folder / VALUES).write_text(json.dumps(state.values))
    for name, content in state.files.items():
        target = folder / FILES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def read_state(storage: Storage, path: str) -> State:
    """The state of a checkpoint anywhere. Raises NotFoundError or StorageError."""
    tensors = load_tensors(storage.read(f"{path}/{WEIGHTS}"))
    below = f"{path}/{FILES}"
    files = {name: storage.read(f"{below}/{name}") for name in storage.files_below(below)}
    return State(tensors, storage.read_json(f"{path}/{VALUES}"), files)
