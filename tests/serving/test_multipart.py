"""Several examples in one body: the same answers as one by one, and limits that hold."""

import io

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from raytune_app.errors import InputError, MediaError, TooLargeError
from serving.web.multipart import MAX_BOUNDARY, MAX_HEADER_BYTES, MAX_HEADERS, MAX_PARTS, Part, read_parts
from serving.wire import pictures as pictures_module
from serving.wire.pictures import Pictures
from serving.wire.texts import Texts

INPUTS = Pictures((1, 28, 28))


def png(size: tuple[int, int] = (28, 28), value: int = 7) -> bytes:
    out = io.BytesIO()
    Image.new("L", size, value).save(out, "PNG")
    return out.getvalue()


def form(*files: tuple[str, bytes, str]) -> tuple[str, bytes]:
    """As a real client writes it."""
    named = [(f"file{number}", each) for number, each in enumerate(files)]
    request = httpx.Request("POST", "http://x", files=named)
    return request.headers["content-type"], request.read()


def test_parts_come_in_order_with_their_types() -> None:
    media, body = form(("a", b"one", "text/plain"), ("b", b"", "image/png"), ("c", b"\r\n--x\r\n", "x/y"))
    assert read_parts(media, body) == [Part("text/plain", b"one"), Part("image/png", b""), Part("x/y", b"\r\n--x\r\n")]


def test_pictures_in_parts_are_read_as_one_by_one() -> None:
    raw = bytes(range(196)) * 4
    media, body = form(("a.png", png(), "image/png"), ("b", raw, "application/octet-stream"))
    batch, several = INPUTS.read_body(media, body)
    alone = [INPUTS.read_body(kind, each)[0][0] for kind, each in (("image/png", png()), ("", raw)) if kind]
    assert several
    assert np.array_equal(batch[0], alone[0])
    assert batch[1].tobytes() == raw


def test_texts_in_parts() -> None:
    media, body = form(("a", "größer".encode(), "text/plain"), ("b", b"", "text/plain"))
    assert Texts().read_body(media, body) == (["größer", ""], True)


def test_a_wrong_part_is_named() -> None:
    media, body = form(("a.png", png(), "image/png"), ("b.gif", b"GIF89a", "image/gif"))
    with pytest.raises(MediaError, match=r"part 1 \(from 0\)"):
        INPUTS.read_body(media, body)


def test_as_many_parts_as_may_be_and_one_more() -> None:
    for count in (MAX_PARTS, MAX_PARTS + 1):
        media, body = form(*[("a", b"x", "text/plain")] * count)
        if count <= MAX_PARTS:
            assert len(read_parts(media, body)) == count
        else:
            with pytest.raises(TooLargeError, match=f"{MAX_PARTS}"):
                read_parts(media, body)


def test_pixels_are_counted_over_all_parts_before_any_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures_module, "MAX_PIXELS_TOGETHER", 2 * 50 * 50)
    for count in (2, 3):
        media, body = form(*[("a.png", png((50, 50)), "image/png")] * count)
        if count == 2:
            assert len(INPUTS.read_body(media, body)[0]) == 2
        else:
            monkeypatch.setattr(pictures_module, "decode", None)
            with pytest.raises(TooLargeError, match="together"):
                INPUTS.read_body(media, body)


def body_of(boundary: bytes, headers: bytes = b"") -> bytes:
    return b"--" + boundary + b"\r\n" + headers + b"\r\nx\r\n--" + boundary + b"--\r\n"


@pytest.mark.parametrize(("length", "taken"), [(1, True), (MAX_BOUNDARY, True), (MAX_BOUNDARY + 1, False), (0, False)])
def test_a_boundary_has_one_to_seventy_characters(length: int, taken: bool) -> None:
    media = f"multipart/form-data; boundary={'b' * length}"
    if taken:
        assert read_parts(media, body_of(b"b" * length)) == [Part("application/octet-stream", b"x")]
    else:
        with pytest.raises(InputError, match="boundary"):
            read_parts(media, body_of(b"b" * length))


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        (b"x: y\r\n" * MAX_HEADERS, True),
        (b"x: y\r\n" * (MAX_HEADERS + 1), False),
        (b"x: " + b"y" * (MAX_HEADER_BYTES // 2) + b"\r\n", True),
        (b"x: " + b"y" * (2 * MAX_HEADER_BYTES) + b"\r\n", False),
    ],
)
def test_the_headers_of_a_part_are_bounded(headers: bytes, taken: bool) -> None:
    media, body = "multipart/form-data; boundary=b", body_of(b"b", headers)
    if taken:
        assert len(read_parts(media, body)) == 1
    else:
        with pytest.raises(InputError):
            read_parts(media, body)


@pytest.mark.parametrize("body", [b"", b"--b--\r\n", b"--b\r\n\r\nx", b"--b\r\n\r\nx\r\n--b\r\n", b"x"])
def test_no_part_or_half_a_body_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        read_parts("multipart/form-data; boundary=b", body)


@given(st.binary(max_size=300), st.text(st.characters(max_codepoint=255), max_size=80))
def test_no_body_and_no_header_makes_a_fault(body: bytes, boundary: str) -> None:
    for each in (body, b"--b\r\n" + body + b"\r\n--b--\r\n"):
        for media in (f"multipart/form-data; boundary={boundary}", "multipart/form-data; boundary=b"):
            try:
                read_parts(media, each)
            except InputError:
                continue
