"""Compressed bodies, unfolded within the same limit as any body: a few kilobytes can stand for gigabytes."""

from __future__ import annotations

import zlib
from enum import Enum

from raytune_app.errors import InputError, MediaError, TooLargeError

MAX_RATIO = 1032
"""The most that one byte of DEFLATE can stand for."""


class Encoding(Enum):
    """What Content-Encoding may be; the value is zlib's `wbits`."""

    NONE = 0
    GZIP = 16 + zlib.MAX_WBITS
    DEFLATE = zlib.MAX_WBITS

    @classmethod
    def of(cls, value: bytes) -> Encoding:
        """What the header says. Raises MediaError for another encoding, or several."""
        found = _BY_NAME.get(value.strip().lower())
        if found is None:
            raise MediaError("this Content-Encoding is not accepted", "use gzip, deflate, or none")
        return found


_BY_NAME = {
    b"": Encoding.NONE,
    b"identity": Encoding.NONE,
    b"gzip": Encoding.GZIP,
    b"x-gzip": Encoding.GZIP,
    b"deflate": Encoding.DEFLATE,
}


def expanded(size: int, limit: int) -> int:
    """The most bytes that so many compressed ones become, if over `limit` is refused."""
    return min(size * MAX_RATIO, limit)


def inflate(body: bytes, encoding: Encoding, limit: int) -> bytes:
    """What `body` stands for.

    Raises:
        TooLargeError: over `limit` bytes; no more than that was ever made.
        InputError: not what the encoding says, cut off, or followed by something else.
    """
    unfold = zlib.decompressobj(encoding.value)
    try:
        whole = unfold.decompress(body, limit + 1)
    except zlib.error as error:
        raise InputError("the body is not what its Content-Encoding says", "send it as it is") from error
    if len(whole) > limit:
        raise TooLargeError(f"the body unfolds to over {limit:,} bytes", "send smaller or fewer examples")
    if not unfold.eof or unfold.unused_data:
        raise InputError("the compressed body is cut off, or something follows it", "send it whole, and nothing else")
    return whole
