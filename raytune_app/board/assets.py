"""The files of the page, as they are sent and as they are frozen."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

PLOTLY = "plotly.min.js"
"""Comes with plotly's Python package; it is read when the first figure is opened."""
MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, its media type, and a tag that changes with its content."""

    body: bytes
    media: str
    tag: str


@functools.cache
def assets() -> Mapping[str, Asset]:
    """All files by name, but plotly's."""
    folder = files("raytune_app.board").joinpath("page")
    found = {file.name: file.read_bytes() for file in folder.iterdir() if not file.is_dir()}
    return {name: _asset(name, body) for name, body in sorted(found.items())}


@functools.cache
def plotly() -> Asset:
    """Plotly's own file."""
    from plotly.offline import get_plotlyjs

    return _asset(PLOTLY, get_plotlyjs().encode())


def _asset(name: str, body: bytes) -> Asset:
    return Asset(body, MEDIA[name[name.rindex(".") :]], f'"{hashlib.sha256(body).hexdigest()[:20]}"')
