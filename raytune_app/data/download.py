"""Downloads of public datasets by torchvision, which knows their addresses and checksums."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from raytune_app.errors import DataError


def download(name: str, folder: Path) -> Any:
    """Make sure that torchvision's dataset `name` lies in `folder`, with progress on stderr.

    Returns:
        torchvision's dataset of the training part.

    Raises:
        DataError: there is no network, or the folder cannot be written.
    """
    datasets = import_module("torchvision.datasets")  # costs 2.8 s: only for those who download

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):
            return getattr(datasets, name)(folder, train=True, download=True)
    except (OSError, RuntimeError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{name} could not be downloaded into {folder}: {first_line}",
            "check the network, or put the files in a folder and name it in data.path or RAYTUNE_DATA_DIR",
        ) from error
