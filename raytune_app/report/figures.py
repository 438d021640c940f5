"""The page's plots, as plotly figures; text from a study is escaped, since plotly reads some HTML in labels."""

from __future__ import annotations

import html
from typing import Any

import plotly.graph_objects as go

from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.tuning.events import StudyView, TrialState, TrialView

_COLOURS = {
    TrialState.FINISHED: "#1a7f5a",
    TrialState.RUNNING: "#2f6fd0",
    TrialState.STOPPED: "#9097a3",
    TrialState.DIVERGED: "#c9433a",
    TrialState.FAILED: "#c9433a",
}
_WINNER = "#d9820f"


def learning_curves(view: StudyView, objective: ObjectiveSpec, winner: int | None) -> go.Figure:
    """The objective by epoch, one line a trial, the winner on top."""
    figure = go.Figure()
    for trial in sorted(view.trials.values(), key=lambda trial: trial.number == winner):
        rows = [row for row in trial.epochs if row.get(objective.metric) is not None]
        if rows:
            figure.add_trace(_curve(trial, rows, objective.metric.value, trial.number == winner))
    figure.update_xaxes(title="epoch", dtick=max(1, view.epochs_per_trial // 10))
    figure.update_yaxes(title=f"validation {objective.metric}")
    return _styled(figure, 420)


def confusion_table(confusion: list[list[int]], labels: list[str]) -> go.Figure:
    """Counts by true (row) and answered (column) label; the colour is the row's share, on a scale for errors."""
    names = [html.escape(label) for label in labels]
    shares = [[count / max(sum(row), 1) for count in row] for row in confusion]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            text=confusion,
            texttemplate="%{text}",
            hovertemplate="truth %{y}<br>answer %{x}<br>%{text} pictures<extra></extra>",
            textfont={"color": "#7d8590"},
            colorscale=[[0, "rgba(47,111,208,0.0)"], [0.05, "rgba(47,111,208,0.25)"], [1, "rgba(47,111,208,0.35)"]],
            showscale=False,
        )
    )
    figure = _styled(figure, 80 + 40 * max(len(labels), 6))
    figure.update_xaxes(title="answer", type="category", showgrid=False)
    figure.update_yaxes(title="truth", type="category", autorange="reversed", showgrid=False)
    return figure


def _curve(trial: TrialView, rows: list[dict[str, Any]], metric: str, wins: bool) -> go.Scatter:
    settings = "<br>".join(html.escape(f"{path} = {value}") for path, value in trial.config.items())
    return go.Scatter(
        x=[row["epoch"] for row in rows],
        y=[row[metric] for row in rows],
        name=f"trial {trial.number}{' (winner)' if wins else ''}",
        mode="lines+markers",
        line={"color": _WINNER if wins else _COLOURS[trial.state], "width": 3 if wins else 1.5},
        marker={"size": 7 if wins else 5},
        hovertemplate=f"trial {trial.number}, {trial.state}<br>epoch %{{x}}: %{{y:.4f}}<br>{settings}<extra></extra>",
    )


def _styled(figure: go.Figure, height: int) -> go.Figure:
    """Transparent, in a grey that reads on light and on dark."""
    grid = {"gridcolor": "rgba(128,128,128,0.25)", "zerolinecolor": "rgba(128,128,128,0.4)"}
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 10, "t": 10, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "color": "#808791"},
        showlegend=False,
    )
    figure.update_xaxes(**grid)
    figure.update_yaxes(**grid)
    return figure
