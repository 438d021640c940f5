"""Pictures of strangers: pixels stay exact, sizes are checked before decoding, damage is a clear error."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from raytune_app.errors import InputError, MediaError, NotFoundError, RaytuneError, TooLargeError
from raytune_app.picture import decode, kind, read_file

GREY = (1, 28, 28)


def encoded(pixels: np.ndarray, file_format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has almost nothing behind it."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"IDAT": zlib.compress(bytes(10))}
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_grey_png_of_the_models_size_keeps_every_pixel() -> None:
    pixels = noise(28, 28)
    assert (decode(encoded(pixels), GREY)[0] == pixels).all()


def test_a_colour_png_keeps_every_pixel_channels_first() -> None:
    pixels = noise(32, 32, 3)
    assert (decode(encoded(pixels), (3, 32, 32)) == pixels.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("shape", [(28, 28), (100, 100), (7, 50), (28, 28, 3), (60, 40, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_picture_becomes_the_models_shape(shape: tuple[int, ...], channels: int) -> None:
    decoded = decode(encoded(noise(*shape)), (channels, 28, 28))
    assert decoded.shape == (channels, 28, 28)
    assert decoded.dtype == np.uint8


def test_scaling_down_averages_instead_of_picking() -> None:
    stripes = np.zeros((280, 280), np.uint8)
    stripes[::2] = 255
    inner = decode(encoded(stripes), GREY)[0, 2:-2, 2:-2]
    assert inner.min() > 100
    assert inner.max() < 155


def test_sixteen_bit_grey_keeps_its_upper_half() -> None:
    pixels = (np.arange(28 * 28).reshape(28, 28) * 83).astype(np.uint16)
    assert (decode(encoded(pixels), GREY)[0] == pixels >> 8).all()


def test_a_jpeg_is_read() -> None:
    decoded = decode(encoded(np.full((28, 28), 200, np.uint8), "JPEG"), GREY)
    assert abs(int(decoded.mean()) - 200) <= 2


@pytest.mark.parametrize("size", [(20_000, 10), (10, 20_000), (4096, 4096), (2**31 - 1, 2**31 - 1)])
def test_a_huge_picture_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(TooLargeError):
        decode(png_header(*size), GREY)


def test_an_empty_body_says_so() -> None:
    with pytest.raises(InputError, match="empty"):
        decode(b"", GREY)


@pytest.mark.parametrize("file_format", ["GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_other_kinds_are_refused(file_format: str) -> None:
    with pytest.raises(MediaError):
        decode(encoded(noise(28, 28), file_format), GREY)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
@given(data=st.data())
def test_damage_never_gives_anything_but_pixels_or_a_clear_error(file_format: str, data: st.DataObject) -> None:
    body = bytearray(encoded(noise(28, 28), file_format))
    for _ in range(data.draw(st.integers(1, 5))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(body[: data.draw(st.integers(0, len(body)))]), GREY)
    except RaytuneError:
        return
    assert decoded.shape == GREY


def test_a_cut_file_is_called_truncated() -> None:
    body = encoded(noise(28, 28))
    with pytest.raises(InputError, match="truncated or corrupt"):
        decode(body[: len(body) // 2], GREY)


def test_kinds_are_told_by_the_first_bytes() -> None:
    assert kind(encoded(noise(4, 4))) == "image/png"
    assert kind(encoded(noise(4, 4), "JPEG")) == "image/jpeg"
    assert kind(bytes(784)) is None


def test_files_are_read_with_clear_errors(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"bytes")
    assert read_file(tmp_path / "x.png") == b"bytes"
    with pytest.raises(NotFoundError):
        read_file(tmp_path / "missing.png")
    with pytest.raises(InputError):
        read_file(tmp_path)
