"""Trials as the rows of a table, each with its learning curve in block characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions

from raytune_app.display.columns import Columns
from raytune_app.display.text import ABSENT, curve_range, number, one_line, sparkline
from raytune_app.tuning.account import Account
from raytune_app.tuning.view import TrialState, TrialView

MAX_ROWS = 24
WIDE = 90
"""Columns of a terminal from which on everything has room."""
_STYLES = {
    TrialState.FINISHED: "green",
    TrialState.STOPPED: "dim",
    TrialState.PAUSED: "dim",
    TrialState.INTERRUPTED: "yellow",
    TrialState.DIVERGED: "red",
    TrialState.FAILED: "red",
}
_LEFT = ("state", "curve", "decision")


def trial_table(account: Account, rows: int = MAX_ROWS, width: int = 100) -> Columns:
    """Those running first, then the best; at most `rows`."""
    ordered = ordered_trials(account)
    shown = ordered[:rows]
    names = _columns(account, width)
    note = f"{len(ordered) - rows} more trials" if len(ordered) > rows else ""
    table = Columns(names, _LEFT, note)
    metric, sign = account.objective.metric, account.objective.sign
    curves = [[row.get(metric) for row in trial.epochs] for trial in shown]
    span, leader = curve_range(curves, sign), account.leader
    for trial, curve in zip(shown, curves, strict=True):
        cells = _cells(account, trial, curve, span) | {"trial": f"{'* ' if trial is leader else ''}{trial.number}"}
        table.add([cells[name] for name in names], _STYLES.get(trial.state, ""))
    return table


@dataclass(frozen=True, slots=True)
class Trials:
    """The table, as wide as what it is drawn on."""

    account: Account

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Columns]:
        yield trial_table(self.account, width=options.max_width)


def ordered_trials(account: Account) -> list[TrialView]:
    """Those running first, then by their best score; equal ones by number."""
    metric, sign = account.objective.metric, account.objective.sign

    def key(trial: TrialView) -> tuple[bool, float, int]:
        best = account.best(trial.number)
        return trial.state is not TrialState.RUNNING, -sign * best[metric] if best else float("inf"), trial.number

    return sorted(account.view.trials.values(), key=key)


def decision_of(trial: TrialView) -> str:
    """What was decided of it last, or why it is where it is."""
    if trial.error:
        return one_line(trial.error, 40)
    judged = next((row for row in reversed(trial.epochs) if row.get("rung") is not None), None)
    return f"rung {judged['rung']}: {judged['decision']}" if judged else ""


def _columns(account: Account, width: int) -> list[str]:
    best = f"best {account.objective.metric}"
    if width < WIDE:
        return ["trial", "state", "epoch", "curve", best, "decision"]
    return ["trial", "state", "epoch", "curve", "loss", "accuracy", best, "decision", "examples/s"]


def _cells(
    account: Account, trial: TrialView, curve: Sequence[float | None], span: tuple[float, float]
) -> dict[str, str]:
    """By column; what a user's own training does not report is absent."""
    last, best, metric = trial.last or {}, account.best(trial.number), account.objective.metric
    rate = last.get("examples_per_s")
    return {
        "state": trial.state.value,
        "epoch": str(last.get("epoch", ABSENT)),
        "curve": sparkline(curve, *span),
        "loss": number(last["loss"]) if "loss" in last else ABSENT,
        "accuracy": number(last["accuracy"]) if "accuracy" in last else ABSENT,
        f"best {metric}": number(best[metric]) if best else ABSENT,
        "decision": decision_of(trial),
        "examples/s": ABSENT if rate is None else f"{rate:,.0f}",
    }
