"""A page of one file, and what a browser is told about it: it loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """The page and its headers."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def page(text: str, *sources: str) -> Page:
    """The browser may run the page's own script and style, and use `sources`, such as "img-src data:"; nothing else."""
    own = [f"{kind}-src '{_hash(content)}'" for kind, content in _INLINE.findall(text)]
    closed = ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    policy = "; ".join(["default-src 'none'", *sorted(own), *sources, *closed])
    headers = (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )
    return Page(text.encode(), headers)


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
