from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from raytune_app.data.idx import read_idx
from raytune_app.errors import DataError

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
Write = Callable[[Path, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]], Path]


def read(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return read_idx(path, ndim=3, remedy="mend it")


def test_what_is_written_is_read_gzipped_or_not(tmp_path: Path, write_idx: Write) -> None:
    packed = write_idx(tmp_path / "a.gz", ARRAY)
    plain = tmp_path / "a"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    assert np.array_equal(read(packed), ARRAY)
    assert np.array_equal(read(plain), ARRAY)


def test_every_truncation_names_the_file_and_the_remedy(tmp_path: Path, write_idx: Write) -> None:
    path = write_idx(tmp_path / "a.gz", ARRAY)
    packed, plain = path.read_bytes(), gzip.decompress(path.read_bytes())
    broken = [packed[:length] for length in range(len(packed))] + [plain[:length] for length in range(len(plain))]
    assert len(broken) > 60
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.gz") as caught:
            read(path)
        assert caught.value.remedy == "mend it"


@pytest.mark.parametrize(
    "content",
    [
        b"not an idx file at all",
        bytes([0, 0, 13, 3]) + bytes(12),
        bytes([0, 0, 8, 3]) + b"\xff" * 12,
        b"\x1f\x8bnonsense",
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.gz"):
        read(path)


def test_a_flipped_bit_is_found_by_md5(tmp_path: Path, write_idx: Write) -> None:
    changed = ARRAY.copy()
    changed[0, 0, 0] ^= 1
    path = write_idx(tmp_path / "a.gz", changed)
    with pytest.raises(DataError, match="md5"):
        read_idx(path, ndim=3, remedy="mend it", md5="0" * 32)


def test_trailing_bytes_are_refused(tmp_path: Path, write_idx: Write) -> None:
    path = write_idx(tmp_path / "a.gz", ARRAY)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"x"))
    with pytest.raises(DataError, match="more"):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.gz"):
        read(tmp_path / "gone.gz")
