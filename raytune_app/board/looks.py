"""How the figures look: one template that reads on white and on dark, texts that are never HTML, packed numbers."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go

from raytune_app.tuning.view import TrialState

GREY = "#808791"
BLUE = "#3b8ed0"
ORANGE = "#e08214"
COLOURS = {
    TrialState.FINISHED.value: "#009e73",
    TrialState.RUNNING.value: BLUE,
    TrialState.STOPPED.value: "#9097a3",
    TrialState.PAUSED.value: "#9b7fc0",
    TrialState.INTERRUPTED.value: "#b08900",
    TrialState.DIVERGED.value: "#d55e00",
    TrialState.FAILED.value: "#d55e00",
}
"""Of a trial by its state, after Okabe and Ito: told apart by most who do not see red and green as two."""
WINNER_COLOUR = "#e69f00"
SCALE = ((0.0, BLUE), (0.5, "#9a9a9a"), (1.0, ORANGE))
"""From bad to good, or from early to late: blue to orange through grey, of a brightness for both backgrounds."""
HEIGHT_PX = 420
_AXIS = {
    "gridcolor": "rgba(128,128,128,0.25)",
    "zerolinecolor": "rgba(128,128,128,0.4)",
    "linecolor": GREY,
    "automargin": True,
    "exponentformat": "e",
}
_LINE = 96
"""Characters of a note before it goes on in another line: plotly does not wrap."""
_LONG = 60
_NAMES = {"True": "true", "False": "false", "None": "null"}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": GREY},
        "title": {"x": 0.01, "xanchor": "left", "y": 0.98, "yanchor": "top", "font": {"size": 16}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": [BLUE, ORANGE, "#009e73", "#cc79a7", "#b08900", "#56b4e9", "#d55e00"],
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        "showlegend": False,
    }
)


def cut(value: object, limit: int = _LONG) -> str:
    """A value in one line of at most `limit` characters; true, false and null as in the file. Not escaped."""
    words = " ".join(_NAMES.get(repr(value), str(value)).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def text(value: object, limit: int = _LONG) -> str:
    """The same as plotly may show it: what it would read as HTML is escaped.

    Quotation marks stay: plotly reads none outside of a tag.
    """
    return html.escape(cut(value, limit), quote=False)


def settings_text(config: Iterable[tuple[str, Any]]) -> str:
    """A configuration for a hover box, one line a setting; numbers with five digits."""
    return "<br>".join(f"{text(path)} = {text(_short(value))}" for path, value in config)


def styled(figure: go.Figure, title: str, notes: Iterable[str] = (), height: int = HEIGHT_PX) -> go.Figure:
    """The figure with this product's looks.

    Args:
        figure: changed in place, and returned.
        title: of a few words, already safe.
        notes: what a reader has to know to read it right, already safe; below the title.
        height: in pixels, title included.
    """
    lines = textwrap.wrap("; ".join(notes), _LINE)
    bottom = 80 if figure.layout.showlegend else 50
    figure.update_layout(
        template=TEMPLATE,
        title={"text": title, "subtitle": {"text": "<br>".join(lines)}},
        height=height,
        width=None,
        margin={"l": 60, "r": 20, "t": 44 + 17 * len(lines), "b": bottom},
    )
    figure.update_xaxes(dtick=1, selector={"type": "category"})
    figure.update_yaxes(dtick=1, selector={"type": "category"})
    return packed(figure)


def packed(figure: go.Figure) -> go.Figure:
    """The figure with its long lists of numbers as 32-bit arrays, which are a third of their size in JSON."""
    for trace in figure.data:
        for holder in (trace, getattr(trace, "marker", None)):
            for key in ("x", "y", "z", "base", "color"):
                if holder is not None and key in holder and (array := _array(holder[key])) is not None:
                    holder[key] = array
    return figure


def _array(values: Any) -> np.ndarray[Any, Any] | None:
    """As numbers of 32 bits; None if they are few, no numbers, or whole and too large."""
    if not isinstance(values, tuple | list | np.ndarray) or len(values) < 8:
        return None
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    fits = array.dtype.kind == "i" and abs(array).max() < 2**31
    return array.astype(np.int32) if fits else None


def _short(value: Any) -> Any:
    return f"{value:.5g}" if isinstance(value, float) else value
