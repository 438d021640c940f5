"""The IDX format of MNIST and its relatives: big-endian sizes, then bytes, usually gzipped.

Format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from raytune_app.errors import DataError

MAX_BYTES = 2**31
"""Larger files are refused before they are unpacked."""

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, *, ndim: int, remedy: str, md5: str | None = None) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzipped or not.

    Args:
        path: the file.
        ndim: the number of dimensions it must have: 3 for pictures, 1 for labels.
        remedy: what the person should do if the file cannot be used.
        md5: the md5 of the unpacked file, if it is known.

    Raises:
        DataError: the file is missing, unreadable, truncated or corrupt.
    """
    try:
        with _open(path) as file:
            return _parse(file, ndim, md5)
    except OSError as error:  # gzip.BadGzipFile too
        raise DataError(f"{path}: {error.strerror or error}", remedy) from error
    except (EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path} is truncated or corrupt: {error}", remedy) from error


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path, "rb") if packed else path.open("rb"))


def _parse(file: BinaryIO, ndim: int, md5: str | None) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * ndim)
    if len(header) != 4 + 4 * ndim:
        raise ValueError("it ends inside its header")
    if header[:4] != bytes([0, 0, _UNSIGNED_BYTE, ndim]):
        raise ValueError(f"not an IDX file of bytes in {ndim} dimension{'s' if ndim > 1 else ''}")
    shape = struct.unpack(f">{ndim}I", header[4:])
    size = math.prod(shape)
    if not 0 < size <= MAX_BYTES:
        raise ValueError(f"its header promises {size} bytes")
    content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"its header promises {size} bytes, it has {'more' if len(content) > size else len(content)}")
    if md5 is not None and hashlib.md5(header + content, usedforsecurity=False).hexdigest() != md5:
        raise ValueError("its content is not the original (md5 differs)")
    return np.frombuffer(content, np.uint8).reshape(shape)
