"""The files of the page, as they are sent and as they are frozen."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from raytune_app.board.bundle import bundle
from raytune_app.errors import NotFoundError

SCRIPT = "board.js"
"""All modules of the page as one, so that a browser asks for one file, not for each that the one before named."""
SENT = frozenset({SCRIPT, "style.css", "frame.css", "frame.js", "plotly.min.js"})
"""What a browser may ask for by name."""
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
    """All files of the page by name, as they were written."""
    folder = files("raytune_app.board").joinpath("page")
    found = {file.name: file.read_bytes() for file in folder.iterdir() if not file.is_dir()}
    return {name: _asset(name, body) for name, body in sorted(found.items())}


@functools.cache
def script() -> Asset:
    """The page's modules, bundled."""
    modules = {name: asset.body.decode() for name, asset in assets().items() if name.endswith(".js")}
    return _asset(SCRIPT, bundle(modules, "main.js").encode())


def sent(name: str) -> Asset:
    """The file of this name. Raises NotFoundError for one that a browser has no use for."""
    if name not in SENT:
        raise NotFoundError(f"the board has no file {name!r}")
    made = {SCRIPT: script, PLOTLY: plotly}.get(name)
    return made() if made else assets()[name]


@functools.cache
def plotly() -> Asset:
    """Plotly's own file."""
    from plotly.offline import get_plotlyjs

    return _asset(PLOTLY, get_plotlyjs().encode())


def _asset(name: str, body: bytes) -> Asset:
    return Asset(body, MEDIA[name[name.rindex(".") :]], f'"{hashlib.sha256(body).hexdigest()[:20]}"')
