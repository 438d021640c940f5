"""What a person sees of a running study: a live table on a terminal, one line per ended trial elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from raytune_app.spec import Experiment
from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.tuning.view import Event, StudyView, TrialState, TrialView

MAX_ROWS = 24
_ABSENT = "-"
"""In the place of what a user's own training does not report."""
_STYLES = {
    TrialState.FINISHED: "green",
    TrialState.STOPPED: "dim",
    TrialState.PAUSED: "dim",
    TrialState.INTERRUPTED: "yellow",
    TrialState.DIVERGED: "red",
    TrialState.FAILED: "red",
}


class LiveTable:
    """An observer of the event log that draws it; use as a context manager around the study."""

    def __init__(self, experiment: Experiment, past: Iterable[Event] = ()) -> None:
        self._objective, self._budget = experiment.objective, experiment.budget
        self._view = StudyView.of(past)
        self._console = Console(file=sys.stderr)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"))
        self._bar = Progress(*columns, TimeElapsedColumn(), console=self._console)
        self._task = self._bar.add_task("budget", total=None)
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        self._view.apply(event)
        settled, total = self._progress()
        self._bar.update(self._task, completed=settled, total=total or None)
        if event.get("details"):
            self._console.print(event["details"], markup=False, highlight=False, soft_wrap=True)
        if not self._console.is_terminal and event["event"] == "trial_ended":
            self._console.print(
                self._line(self._view.trials[event["trial"]]), markup=False, highlight=False, soft_wrap=True
            )

    def _progress(self) -> tuple[int, int]:
        """Epochs against the budget: all that the trials may take, or the experiment's own limit where that is less."""
        settled, total = self._view.progress()
        if self._budget.epochs is None or self._budget.epochs >= total:
            return settled, total
        return sum(len(trial.epochs) for trial in self._view.trials.values()), self._budget.epochs

    def _render(self) -> Group:
        return Group(study_table(self._view, self._objective), self._bar)

    def _line(self, trial: TrialView) -> str:
        settled, total = self._progress()
        best = trial.best(self._objective.metric, self._objective.sign)
        score = f"{self._objective.metric} {best[self._objective.metric]:.4f}" if best else trial.error or "no score"
        leader = leading(self._view, self._objective)
        row = leader.best(self._objective.metric, self._objective.sign) if leader else None
        top = f"best: trial {leader.number} {row[self._objective.metric]:.4f}" if leader and row else "no best yet"
        ended = f"trial {trial.number:>2} {trial.state:<8} after {len(trial.epochs):>2} epochs"
        return f"[{settled:>3}/{total}] {ended}  {score}  {top}"


def leading(view: StudyView, objective: ObjectiveSpec) -> TrialView | None:
    """The trial with the best score so far."""
    scored = [
        (objective.sign * row[objective.metric], -trial.number, trial)
        for trial in list(view.trials.values())  # a table on a terminal is drawn by another thread
        if (row := trial.best(objective.metric, objective.sign)) and trial.state is not TrialState.DIVERGED
    ]
    return max(scored, key=lambda entry: entry[:2])[2] if scored else None


def study_table(view: StudyView, objective: ObjectiveSpec) -> Table:
    """Trials as rows: those running first, then the best; at most MAX_ROWS."""
    table = Table(title=view.study, title_justify="left")
    for name in (
        "trial",
        "state",
        "epoch",
        "loss",
        "accuracy",
        f"best {objective.metric}",
        "rung decision",
        "examples/s",
    ):
        table.add_column(name, justify="right" if name not in ("state", "rung decision") else "left")
    leader = leading(view, objective)
    for trial in _ordered(view, objective)[:MAX_ROWS]:
        table.add_row(*_cells(trial, objective, "* " if leader is trial else ""), style=_STYLES.get(trial.state, ""))
    if len(view.trials) > MAX_ROWS:
        table.caption = f"{len(view.trials) - MAX_ROWS} more trials"
    return table


def _ordered(view: StudyView, objective: ObjectiveSpec) -> list[TrialView]:
    def key(trial: TrialView) -> tuple[bool, float, int]:
        best = trial.best(objective.metric, objective.sign)
        return (
            trial.state is not TrialState.RUNNING,
            -objective.sign * best[objective.metric] if best else 0.0,
            trial.number,
        )

    return sorted(view.trials.values(), key=key)


def _cells(trial: TrialView, objective: ObjectiveSpec, mark: str) -> tuple[str, ...]:
    last = trial.last
    if last is None:
        return (str(trial.number), trial.state.value, "-", "-", "-", "-", trial.error or "", "-")
    best = trial.best(objective.metric, objective.sign)
    judged = [row for row in trial.epochs if row["rung"] is not None]
    decision = f"rung {judged[-1]['rung']}: {judged[-1]['decision']}" if judged else ""
    return (
        f"{mark}{trial.number}",
        trial.state.value,
        str(last["epoch"]),
        _number(last.get("loss", _ABSENT)),
        _number(last.get("accuracy", _ABSENT)),
        _number(best[objective.metric] if best else None),
        decision,
        f"{last['examples_per_s']:,.0f}" if "examples_per_s" in last else "-",
    )


def _number(value: float | str | None) -> str:
    if isinstance(value, str):
        return value
    return "nan" if value is None else f"{value:.4f}"
