"""The page on which a person tries a model."""

from __future__ import annotations

import functools
from importlib.resources import files

from serving.web.page import Page, page


@functools.cache
def load() -> Page:
    """Read the page."""
    text = files("serving.web").joinpath("playground.html").read_text(encoding="utf-8")
    return page(text, "connect-src 'self'", "img-src 'self' blob: data:")
