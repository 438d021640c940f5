"""The page's plot, as a plotly figure; text from a study is escaped, since plotly reads some HTML in labels."""

from __future__ import annotations

import html
from typing import Any

import plotly.graph_objects as go

from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.tuning.view import StudyView, TrialState, TrialView

COLOURS = {
    TrialState.FINISHED.value: "#1d9a6c",
    TrialState.RUNNING.value: "#3b82e0",
    TrialState.STOPPED.value: "#9097a3",
    TrialState.PAUSED.value: "#9097a3",
    TrialState.INTERRUPTED.value: "#b08900",
    TrialState.DIVERGED.value: "#d6504a",
    TrialState.FAILED.value: "#d6504a",
}
"""Of a trial's line; they read on light and on dark."""
WINNER_COLOUR = "#d9820f"
_DIGITS = 5


def learning_curves(view: StudyView, objective: ObjectiveSpec, winner: int | None) -> go.Figure:
    """The objective by epoch, one line a trial, the winner on top."""
    figure = go.Figure()
    for trial in sorted(view.trials.values(), key=lambda trial: trial.number == winner):
        rows = [row for row in trial.epochs if row.get(objective.metric) is not None]
        if rows:
            figure.add_trace(_curve(trial, rows, str(objective.metric), wins=trial.number == winner))
    figure.update_xaxes(title="epoch", dtick=max(1, view.epochs_per_trial // 10))
    figure.update_yaxes(title=f"validation {objective.metric}")
    return _styled(figure)


def _curve(trial: TrialView, rows: list[dict[str, Any]], metric: str, *, wins: bool) -> go.Scatter:
    settings = "<br>".join(html.escape(f"{path} = {value}") for path, value in trial.config.items())
    return go.Scatter(
        x=[row["epoch"] for row in rows],
        y=[float(f"{row[metric]:.{_DIGITS}g}") for row in rows],
        name=f"trial {trial.number}{' (winner)' if wins else ''}",
        mode="lines+markers",
        line={"color": WINNER_COLOUR if wins else COLOURS[trial.state.value], "width": 3 if wins else 1.5},
        marker={"size": 7 if wins else 5},
        hovertemplate=f"trial {trial.number}, {trial.state}<br>epoch %{{x}}: %{{y:.4f}}<br>{settings}<extra></extra>",
    )


def _styled(figure: go.Figure) -> go.Figure:
    """Transparent, in a grey that reads on light and on dark."""
    grid = {"gridcolor": "rgba(128,128,128,0.25)", "zerolinecolor": "rgba(128,128,128,0.4)"}
    figure.update_layout(
        height=420,
        margin={"l": 55, "r": 5, "t": 10, "b": 45},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "color": "#808791"},
        showlegend=False,
    )
    figure.update_xaxes(**grid)
    figure.update_yaxes(**grid)
    return figure
