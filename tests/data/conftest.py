"""Small IDX folders and picture folders made of real MNIST digits."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from raytune_app.data.arrays import Arrays, Examples
from raytune_app.data.catalog import load_test
from raytune_app.spec.grammar import DataSpec

Bytes = NDArray[np.uint8]


def pictures(examples: Examples) -> Arrays:
    """The same, which are known to be pictures."""
    assert isinstance(examples, Arrays)
    return examples


@pytest.fixture(scope="session")
def digits() -> Arrays:
    """The 10,000 test pictures of MNIST."""
    return pictures(load_test(DataSpec(name="mnist")))


@pytest.fixture(scope="session")
def write_idx() -> Callable[[Path, Bytes], Path]:
    """`write_idx(path, array)` writes a gzipped IDX file of bytes."""
    return _write_idx


def _write_idx(path: Path, array: Bytes) -> Path:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=1))
    return path


@pytest.fixture
def idx_folder(tmp_path: Path, digits: Arrays) -> Path:
    """500 training digits in MNIST's own files; there are no test files."""
    _write_idx(tmp_path / "train-images-idx3-ubyte.gz", digits.images[:500, 0])
    _write_idx(tmp_path / "train-labels-idx1-ubyte.gz", digits.labels[:500].astype(np.uint8))
    return tmp_path


@pytest.fixture
def picture_folder(tmp_path: Path, digits: Arrays) -> Path:
    """`train/<digit>/*.png`: twenty pictures each of 3, 5 and 8."""
    for label in (3, 5, 8):
        folder = tmp_path / "train" / str(label)
        folder.mkdir(parents=True)
        for number, index in enumerate(np.flatnonzero(digits.labels == label)[:20]):
            Image.fromarray(digits.images[index, 0]).save(folder / f"{number:02}.png")
    return tmp_path
