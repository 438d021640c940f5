"""Figures that this product draws itself, since Optuna's would be slow, large or misleading here."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from raytune_app.board.importance import importance
from raytune_app.board.looks import BLUE, COLOURS, GREY, WINNER_COLOUR, settings_text, styled, text
from raytune_app.board.samples import BEST_EPOCH, LOST, Search, thin
from raytune_app.board.timeline import Stretch, stretches
from raytune_app.tuning.view import Role, TrialView

CURVES, STRETCHES = 150, 2000
"""At most so many trials as curves, and stretches in the timeline: more are a blot and a wait."""
_MANY = 1000
"""More points than this are small, and drawn by WebGL."""


def history(search: Search, title: str) -> go.Figure:
    """Every trial's value by its number, and the best so far."""
    sign = search.objective.sign
    numbers = [sample.number for sample in search.counted]
    values = np.array([search.value(sample) for sample in search.counted])
    best = sign * np.maximum.accumulate(sign * values)
    hover = f"trial %{{x}}<br>{text(search.metric)} %{{y}}<extra></extra>"
    marker = {"color": BLUE, "size": 6 if len(numbers) <= _MANY else 3, "opacity": 0.7}
    dots = go.Scatter if len(numbers) <= _MANY else go.Scattergl
    line = {"shape": "hv", "color": WINNER_COLOUR}
    figure = go.Figure(
        [
            dots(x=numbers, y=values, mode="markers", name="trial", marker=marker, hovertemplate=hover),
            go.Scatter(x=numbers, y=best, mode="lines", name="best so far", line=line, hoverinfo="skip"),
        ]
    )
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title=f"validation {text(search.metric)}")
    figure.update_layout(showlegend=True)
    lost = sum(sample.state in LOST for sample in search.samples)
    notes = [BEST_EPOCH, *([f"{lost:,} that diverged or failed are not drawn"] if lost else [])]
    return styled(figure, title, notes)


def curves(search: Search, title: str, winner: int | None = None) -> go.Figure:
    """The metric by epoch, one line a trial of whatever role, the winner on top; each trace has `meta.trial`."""
    trials = [trial for _, trial in sorted(search.view.trials.items()) if _has(trial, search.metric)]
    best = {sample.number for sample in search.ranked()[: CURVES // 3]} | {winner}
    chosen, notes = thin(trials, CURVES, lambda trial: trial.number in best)
    figure = go.Figure()
    for trial in sorted(chosen, key=lambda trial: trial.number == winner):
        figure.add_trace(_curve(trial, search.metric, wins=trial.number == winner))
    figure.update_xaxes(title="epoch", dtick=max(1, search.view.epochs_per_trial // 10))
    figure.update_yaxes(title=f"validation {text(search.metric)}")
    if notes:
        notes = [f"{notes[0]}: the best {CURVES // 3} and others evenly"]
    return styled(figure, title, notes)


def importances(search: Search, title: str, epoch: int | None = None) -> go.Figure:
    """A bar for each setting, the largest on top."""
    found = importance(search, epoch)
    shares = list(reversed(found.shares.items()))
    bar = go.Bar(
        x=[share for _, share in shares],
        y=[text(path) for path, _ in shares],
        text=[f"{share:.2f}" if share >= 0.01 else "< 0.01" for _, share in shares],
        textposition="outside",
        cliponaxis=False,
        orientation="h",
        marker={"color": BLUE},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    figure = go.Figure(bar)
    figure.update_xaxes(title="share of the importance", range=[0, 1.08])
    figure.update_yaxes(type="category")
    among = f"the best {found.top:.0%} of {found.trials:,} trials in {text(search.metric)}"
    notes = [f"for being among {among}{f' by epoch {found.epoch}' if found.epoch else ''} (PED-ANOVA)"]
    if found.epoch is None and found.epochs[0] < found.epochs[1]:
        notes.append(f"compared by their best values, though after {found.epochs[0]} to {found.epochs[1]} epochs")
    notes += [f"{found.left_out:,} that ended before are left out"] if found.left_out else []
    notes += [f"{found.lost:,} that diverged count as the worst"] if found.lost else []
    return styled(figure, title, notes, max(240, 130 + 32 * len(shares)))


def timeline(search: Search, title: str) -> go.Figure:
    """A row for each slot, a bar for each stretch of epochs, in the colour of its trial's state."""
    found, known = stretches(search.view)
    shown = found[-STRETCHES:]
    longest = max(one.end_s for one in found)
    unit, name = next((each for each in _UNITS if longest >= 2 * each[0]), _UNITS[-1])
    rows = sorted({one.slot for one in shown}, key=_natural, reverse=True)
    figure = go.Figure()
    states = {trial.state.value for trial in search.view.trials.values()}
    for state in [each for each in COLOURS if each in states]:
        mine = [one for one in shown if search.view.trials[one.trial].state.value == state]
        figure.add_trace(_bars(search, mine, state, unit))
    figure.update_xaxes(title=f"{name} since the first epoch began")
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=[text(row) for row in rows])
    figure.update_layout(barmode="overlay", bargap=0.25, showlegend=True)
    notes = [] if known else ["the log does not name the processes: as few rows as hold all without overlap"]
    notes += [f"the latest {len(shown):,} of {len(found):,} stretches"] if len(shown) < len(found) else []
    return styled(figure, title, notes, min(900, max(220, 150 + 34 * len(rows))))


_UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def _bars(search: Search, mine: list[Stretch], state: str, unit: float) -> go.Bar:
    few = len(mine) <= 300
    roles = {one.trial: search.view.trials[one.trial].role for one in mine}
    words = [f"trial {n}{'' if (role := roles[n]) is Role.SEARCH else f' ({role})'}" for n in (o.trial for o in mine)]
    return go.Bar(
        base=[one.start_s / unit for one in mine],
        x=[(one.end_s - one.start_s) / unit for one in mine],
        y=[text(one.slot) for one in mine],
        orientation="h",
        name=state,
        marker={"color": COLOURS[state], "line": {"color": GREY, "width": 0.5}},
        text=[str(one.trial) for one in mine] if few else None,
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        hovertext=[f"{each}, {one.epochs} epochs" for each, one in zip(words, mine, strict=True)],
        hovertemplate=f"%{{hovertext}}<br>{state}<br>from %{{base:.2f}} for %{{x:.2f}}<extra></extra>",
    )


def _natural(slot: str) -> tuple[str, int]:
    name, _, number = slot.rpartition(" ")
    return name, int(number)


def _has(trial: TrialView, metric: str) -> bool:
    return any(row.get(metric) is not None for row in trial.epochs)


def _curve(trial: TrialView, metric: str, *, wins: bool) -> go.Scatter:
    rows = [row for row in trial.epochs if row.get(metric) is not None]
    role = "" if trial.role is Role.SEARCH else f" ({trial.role})"
    words = f"trial {trial.number}{role}{', the winner' if wins else ''}, {trial.state}"
    return go.Scatter(
        x=[row["epoch"] for row in rows],
        y=[float(f"{row[metric]:.5g}") for row in rows],
        name=f"trial {trial.number}{' (winner)' if wins else ''}",
        meta={"trial": trial.number},
        mode="lines+markers",
        line={"color": WINNER_COLOUR if wins else COLOURS[trial.state.value], "width": 3 if wins else 1.5},
        marker={"size": 7 if wins else 5},
        text=settings_text(trial.config.items()),
        hovertemplate=f"{words}<br>epoch %{{x}}: %{{y:.4f}}<br>%{{text}}<extra></extra>",
    )
