"""Where a dataset's two parts come from; each is read only when asked for, so training never opens the test files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raytune_app.data.arrays import Arrays


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset before it is read.

    Attributes:
        classes: the label names, by index.
        train: reads the training part.
        test: reads the sealed part.
    """

    classes: tuple[str, ...]
    train: Callable[[], Arrays]
    test: Callable[[], Arrays]


def given_folder(path: str | None, name: str) -> Path | None:
    """The folder the user names: `data.path`, else the folder `name` in RAYTUNE_DATA_DIR if it exists, else None."""
    if path is not None:
        return Path(path).expanduser()
    root = os.environ.get("RAYTUNE_DATA_DIR")
    folder = Path(root).expanduser() / name if root else None
    return folder if folder is not None and folder.is_dir() else None


def cache_folder() -> Path:
    """Where downloads are kept: `raytune` in XDG_CACHE_HOME or `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "raytune"
