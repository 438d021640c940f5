"""Figures by Optuna's visualisation, with this product's looks, and of so many trials as it can draw in a second."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna import visualization
from scipy.stats import rankdata

from raytune_app.board.importance import importance
from raytune_app.board.looks import BLUE, GREY, SCALE, WINNER_COLOUR, settings_text, styled, text
from raytune_app.board.optuna_study import labels, optuna_study, quiet
from raytune_app.board.samples import BEST_EPOCH, Sample, Search
from raytune_app.errors import InputError
from raytune_app.spec.domains import Kind
from raytune_app.spec.grammar import Mode
from raytune_app.tuning.pareto import pareto_front

POINTS = 1000
"""At most so many trials as points of one plot."""
_HOVERED = 600
"""The same, where each carries a text of all its settings."""
_STEPS = 30
"""A contour of more trials than this has values rounded to so many steps an axis: its grid grows as their square."""
_COLUMNS = 3


def contour(search: Search, title: str, x: str | None = None, y: str | None = None) -> go.Figure:
    """The best value over two settings; without `x` and `y` the two that matter most."""
    x, y = two_settings(search, x, y)
    samples, notes = _best_by_cell(search, x, y)
    with quiet():
        study = optuna_study(search, samples, settings=(x, y))
        figure = visualization.plot_contour(study, [x, y], target_name=text(search.metric))
    if x > y:  # Optuna sorts them
        _turn(figure)
    contours = {"colorscale": SCALE, "reversescale": search.objective.mode is Mode.MIN, "connectgaps": True}
    figure.update_traces(contours, selector={"type": "contour"})
    dots = {"marker": {"color": "#f4f4f4", "size": 6, "line": {"width": 1, "color": "#333"}}, "hoverinfo": "x+y"}
    figure.update_traces(dots, selector={"type": "scatter"})
    return styled(figure, title, [BEST_EPOCH, "orange is better; between the trials it is a guess", *notes])


def rank(search: Search, title: str, x: str | None = None, y: str | None = None) -> go.Figure:
    """Every trial over two settings, coloured by its rank; without `x` and `y` the two that matter most."""
    x, y = two_settings(search, x, y)
    _with_both(search, x, y)
    samples, notes = search.thinned(_HOVERED)
    with quiet():
        study = optuna_study(search, samples, settings=(x, y))
        figure = visualization.plot_rank(study, [x, y], target_name=text(search.metric))
    for path, update in ((x, figure.update_xaxes), (y, figure.update_yaxes)):
        if search.settings[path].is_listed:
            update(categoryorder="array", categoryarray=labels(search.settings[path]))
    drawn = [sample for sample in samples if {x, y} <= sample.config.keys()]
    ranks = rankdata([search.value(sample) for sample in samples]) / len(samples)
    share = dict(zip((sample.number for sample in samples), ranks.tolist(), strict=True))
    colours = {"colorscale": SCALE, "reversescale": search.objective.mode is Mode.MIN, "cmin": 0, "cmax": 1}
    figure.update_traces(marker=colours)
    dots, _ = figure.data
    dots.update(hovertext=[_all_of(search, sample) for sample in drawn])
    dots.marker.update(color=[share[sample.number] for sample in drawn], size=7)
    return styled(figure, title, [BEST_EPOCH, "orange is better", *notes])


def slices(search: Search, title: str) -> go.Figure:
    """The value over each setting, side by side, three in a row; the colour is the trial's number."""
    samples, notes = search.thinned(min(POINTS, 20_000 // len(search.settings)))
    paths = sorted(search.settings)
    with quiet():
        figure = visualization.plot_slice(optuna_study(search, samples), paths, target_name=text(search.metric))
    figure.update_traces(marker={"colorscale": SCALE, "line": {"width": 0.5, "color": GREY}})
    figure.update_traces(marker={"size": 6 if len(samples) < POINTS // 4 else 4, "opacity": 0.8})
    figure.update_traces(marker={"colorbar": {"thickness": 12, "outlinewidth": 0}}, selector=0)
    rows = math.ceil(len(paths) / _COLUMNS)
    styled(figure, title, [BEST_EPOCH, "blue trials are early, orange ones late", *notes], max(360, 130 + 230 * rows))
    return _in_a_grid(figure, len(paths), rows, text(search.metric))


def edf(search: Search, title: str) -> go.Figure:
    """The share of the trials whose value is at most x."""
    with quiet():
        figure = visualization.plot_edf(
            optuna_study(search, search.counted, settings=()), target_name=text(search.metric)
        )
    figure.update_traces(line={"color": BLUE, "width": 2}, hovertemplate="%{y:.0%} at most %{x}<extra></extra>")
    figure.update_xaxes(title=f"validation {text(search.metric)}")
    figure.update_yaxes(title="share of the trials", tickformat=".0%")
    return styled(figure, title, [f"{len(search.counted):,} trials", BEST_EPOCH])


def pareto(search: Search, title: str) -> go.Figure:
    """Both objectives; the trials that no other beats stand out."""
    front = front_of(search)
    samples, notes = search.thinned(_HOVERED, lambda sample: sample.number in front)
    names = [text(each.metric) for each in search.experiment.objectives]
    with quiet():
        study = optuna_study(search, samples, objectives=(0, 1), settings=())
        figure = visualization.plot_pareto_front(study, target_names=names)
    others, best = figure.data
    by_number = {sample.number: sample for sample in samples}
    for trace, colour, size in ((others, GREY, 6), (best, WINNER_COLOUR, 10)):
        numbers = [int(number) for number in trace.marker.color]
        trace.text = [_all_of(search, by_number[number]) for number in numbers]
        trace.marker = {"color": colour, "size": size, "line": {"width": 0.5, "color": GREY}}
        trace.hovertemplate = "%{text}<extra></extra>"
    figure.update_layout(showlegend=True)
    others.update(name="beaten by another", showlegend=True)
    best.update(name="Pareto front", showlegend=True)
    return styled(figure, title, [f"the best epoch of each trial in {names[0]}", *notes])


def hypervolume(search: Search, title: str) -> go.Figure:
    """How much of the box from the worst to the best of both objectives the front covers, trial by trial."""
    figure = _covers(search)
    figure.update_traces(
        mode="lines", line={"shape": "hv", "color": BLUE}, hovertemplate="after trial %{x}: %{y:.3f}<extra></extra>"
    )
    figure.update_yaxes(title="share of the box", range=[0, 1.02])
    figure.update_xaxes(title="trial")
    names = " and ".join(text(each.metric) for each in search.experiment.objectives)
    return styled(figure, title, [f"of the box from the worst to the best {names} of all trials so far"])


def cover(search: Search) -> list[float]:
    """After each counted trial: the share, 0 to 1, that the front covers of the box from the worst to the best."""
    return list(map(float, _covers(search).data[0].y))


def _covers(search: Search) -> go.Figure:
    signs = np.array([objective.sign for objective in search.experiment.objectives])
    scores = signs * np.array([sample.values for sample in search.counted])
    worst, best = scores.min(axis=0), scores.max(axis=0)
    with quiet():
        study = optuna_study(search, search.counted, objectives=(0, 1), settings=())
        figure = visualization.plot_hypervolume_history(study, (signs * worst).tolist())
    box = float(np.prod(best - worst)) or 1.0
    return figure.update_traces(y=[float(value) / box for value in figure.data[0].y])


def two_settings(search: Search, x: str | None, y: str | None) -> tuple[str, str]:
    """The settings that were asked for; for those that were not, the most important ones. Raises InputError."""
    asked = [search.setting(path) for path in (x, y) if path is not None]
    if len(asked) == 2 and asked[0] == asked[1]:
        raise InputError(f"x and y are both {asked[0]!r}", "choose two settings")
    others = [path for path in _by_importance(search) if path not in asked] if len(asked) < 2 else []
    first = x or others.pop(0)
    return first, y or others.pop(0)


def front_of(search: Search) -> set[int]:
    """The numbers of the trials that no other beats in both objectives."""
    signs = [objective.sign for objective in search.experiment.objectives]
    scores = [[sign * value for sign, value in zip(signs, one.values, strict=True)] for one in search.counted]
    return {search.counted[index].number for index in pareto_front(scores)}


def _all_of(search: Search, sample: Sample) -> str:
    """A trial for a hover box: its number, values and settings."""
    names = [text(each.metric) for each in search.experiment.objectives]
    values = "<br>".join(f"{name} {value:.5g}" for name, value in zip(names, sample.values, strict=True))
    return f"trial {sample.number}<br>{values}<br>{settings_text(sample.config.items())}"


def _turn(figure: go.Figure) -> None:
    """Exchange x and y."""
    for trace in figure.data:
        trace.update(x=trace.y, y=trace.x)
        if trace.type == "contour" and trace.z is not None:
            trace.z = np.transpose(trace.z)
    axes = figure.layout.xaxis.to_plotly_json(), figure.layout.yaxis.to_plotly_json()
    figure.layout.yaxis, figure.layout.xaxis = axes


def _in_a_grid(figure: go.Figure, count: int, rows: int, metric: str) -> go.Figure:
    """Put what Optuna draws in one row in rows of _COLUMNS."""
    columns = min(count, _COLUMNS)
    gap, tall = 0.07, 0.3 / rows if rows > 1 else 0.0
    for i in range(count):
        row, column = divmod(i, _COLUMNS)
        left, top = column / columns, 1 - row / rows
        name = str(i + 1) if i else ""
        figure.layout[f"xaxis{name}"].domain = (left, left + 1 / columns - gap)
        axis = figure.layout[f"yaxis{name}"]
        axis.update(domain=(top - 1 / rows + tall, top), showticklabels=column == 0, title=None if column else metric)
    return figure


def _by_importance(search: Search) -> list[str]:
    try:
        return [path for path in importance(search).shares if path in search.settings]
    except InputError:  # too few trials to tell: as in the file
        return list(search.settings)


def _best_by_cell(search: Search, x: str, y: str) -> tuple[list[Sample], list[str]]:
    """The best trial of each cell of a grid, its values those of the cell; all as they are where they are few."""
    both = _with_both(search, x, y)
    if len(both) <= _STEPS:
        return both, []
    cells: dict[str, Sample] = {}
    for sample in both:
        place = {path: _rounded(search, path, sample.config[path]) for path in (x, y)}
        cells.setdefault(repr(place), _moved(sample, place))  # as a text: 1, 1.0 and true are equal
    moved = list(cells.values())
    return moved, [f"{len(both):,} trials in steps of 1/{_STEPS} of an axis, the best of each"]


def _with_both(search: Search, x: str, y: str) -> list[Sample]:
    """The trials with both settings, best first. Raises InputError if one of them is the same for all of these."""
    both = [sample for sample in search.ranked() if x in sample.config and y in sample.config]
    if min(len({repr(sample.config[path]) for sample in both}) for path in (x, y)) < 2:
        raise InputError(f"too few trials have both {x!r} and {y!r}", "choose other settings, or wait for more trials")
    return both


def _moved(sample: Sample, values: dict[str, Any]) -> Sample:
    config = {**sample.config, **values}
    return Sample(sample.number, sample.state, config, sample.epoch, sample.values, sample.curve)


def _rounded(search: Search, path: str, value: Any) -> Any:
    """The middle of the step of the domain that holds the value."""
    domain = search.settings[path]
    if domain.is_listed or not domain.holds(value):
        return value
    low, high = domain.arguments[:2]
    scale, back = (math.log, math.exp) if domain.kind in {Kind.LOGUNIFORM, Kind.LOGRANDINT} else (float, float)
    share = (scale(value) - scale(low)) / (scale(high) - scale(low))
    step = (min(int(share * _STEPS), _STEPS - 1) + 0.5) / _STEPS
    return domain.nearest(back(scale(low) + step * (scale(high) - scale(low))))
