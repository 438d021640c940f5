"""Parallel coordinates. Plotly's own trace, not Optuna's drawing of one line after the other: it can be brushed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from raytune_app.board.looks import GREY, SCALE, styled, text
from raytune_app.board.optuna_study import distinct, labels
from raytune_app.board.samples import BEST_EPOCH, Search
from raytune_app.spec.domains import Domain, Kind
from raytune_app.spec.grammar import Mode

LINES = 2000
"""At most so many trials: more lines are a blot."""
_NUMBERS = 60_000
"""At most so many values on all axes, which is 320 kB of JSON."""


def parallel(search: Search, title: str) -> go.Figure:
    """The value and the settings as axes, a line a trial; drag along an axis to keep the lines that pass there."""
    samples, notes = search.thinned(min(LINES, _NUMBERS // (len(search.settings) + 2)))
    samples.sort(key=search.score)  # the best are drawn last, above the others
    values = np.array([search.value(sample) for sample in samples], dtype=np.float32)
    axes: list[dict[str, Any]] = [{"label": text(search.metric), "values": values}]
    for path, domain in search.settings.items():
        axes.append(_axis(path, domain, [sample.config.get(path) for sample in samples]))
    line = {
        "color": values,
        "colorscale": SCALE,
        "reversescale": search.objective.mode is Mode.MIN,
        "showscale": True,
        "colorbar": {"title": text(search.metric), "thickness": 12, "outlinewidth": 0},
    }
    figure = go.Figure(
        go.Parcoords(
            dimensions=axes,
            line=line,
            labelangle=-20 if len(axes) > 6 else 0,
            labelside="bottom" if len(axes) > 6 else "top",
            tickfont={"shadow": "none"},
            rangefont={"shadow": "none"},
            unselected={"line": {"color": GREY, "opacity": 0.08}},
        )
    )
    styled(figure, title, [BEST_EPOCH, "orange is better", *notes])
    top = figure.layout.margin.t + 40
    return figure.update_layout(margin={"t": top, "b": 90 if len(axes) > 6 else 30, "l": 70, "r": 30})


def _axis(path: str, domain: Domain, values: list[Any]) -> dict[str, Any]:
    """A parallel axis; a trial without the setting passes below all others."""
    at = np.array([_place(domain, value) for value in values], dtype=np.float32)
    missing = np.isnan(at)
    low, high = float(np.nanmin(at)), float(np.nanmax(at))
    ticks = _ticks(domain, low, high)
    if missing.any():
        low -= 0.12 * (high - low)
        at[missing] = low
        ticks = [(low, "not set"), *(ticks or [(value, f"{value:.3g}") for value in np.linspace(low, high, 5)[1:]])]
    axis: dict[str, Any] = {"label": text(path), "values": at, "range": [low, high]}
    return axis | ({"tickvals": [tick for tick, _ in ticks], "ticktext": [name for _, name in ticks]} if ticks else {})


def _place(domain: Domain, value: Any) -> float:
    """Where a value stands on its axis; NaN for none."""
    if not domain.holds(value):
        return math.nan  # None, unless it is listed
    if domain.is_listed:
        return next(i for i, each in enumerate(distinct(domain)) if value == each and type(value) is type(each))
    return math.log10(value) if domain.kind in {Kind.LOGUNIFORM, Kind.LOGRANDINT} else float(value)


def _ticks(domain: Domain, low: float, high: float) -> list[tuple[float, str]]:
    """Places and names; none where plotly's own will do."""
    if domain.is_listed:
        return [(i, _plain(label)) for i, label in enumerate(labels(domain)) if low <= i <= high]
    if domain.kind not in {Kind.LOGUNIFORM, Kind.LOGRANDINT}:
        return []
    decades = range(math.ceil(low), math.floor(high) + 1)
    far = [edge for edge in (low, high) if all(abs(edge - decade) > 0.1 * (high - low) for decade in decades)]
    return [(at, f"{10**at:.3g}") for at in sorted([*decades, *far])]


def _plain(label: str) -> str:
    """An escaped text for a parallel axis, whose ticks plotly shows as they are: harmless, should it ever read them."""
    return label.replace("&lt;", "\u2039").replace("&gt;", "\u203a").replace("&amp;", "&")
