"""A training's state as a checkpoint keeps it: tensors for safetensors, values for JSON, files as they are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from torch import Tensor

from raytune_app.errors import InputError


class State(NamedTuple):
    """All that later epochs depend on.

    Attributes:
        tensors: by name, on the CPU.
        values: plain, safe for JSON.
        files: what the user's own training has written, by path relative to its folder, with `/`.
    """

    tensors: dict[str, Tensor]
    values: dict[str, Any]
    files: dict[str, bytes]


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` by its relative path, sorted. Raises InputError for a link or anything but a file."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InputError(
                f"{path} is not a plain file, and a checkpoint keeps nothing else", "write the file itself there"
            )
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return files


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` hold these files and no others. Raises InputError if one of the paths leads out of it."""
    for name in files:
        if not PurePosixPath(name).parts or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"a checkpoint names a file outside its own folder: {name!r}", "use one of this product's")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
