"""CIFAR-10: 50,000 + 10,000 colour pictures of 32x32 (Krizhevsky 2009), read by torchvision.

The files are pickles; torchvision opens one only after its md5 equals the published one.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np

from raytune_app.data.arrays import Arrays
from raytune_app.data.download import download
from raytune_app.data.source import Source, cache_folder, given_folder
from raytune_app.errors import DataError

_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar10(path: str | None) -> Source:
    """From the user's folder (which holds `cifar-10-batches-py`) if one is given, else downloaded."""
    folder = given_folder(path, "cifar10")
    if folder is None:
        folder = cache_folder()
        download("CIFAR10", folder)
    return Source(_CLASSES, lambda: _read(folder, train=True), lambda: _read(folder, train=False))


def _read(folder: Path, *, train: bool) -> Arrays:
    datasets = import_module("torchvision.datasets")  # costs 2.8 s: only for those who read it

    try:
        dataset = datasets.CIFAR10(folder, train=train, download=False)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{folder}/cifar-10-batches-py is missing, truncated or corrupt",
            "unpack cifar-10-python.tar.gz there, or leave data.path out to download it",
        ) from error
    images = np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2))
    return Arrays(images, np.array(dataset.targets, np.int64))
