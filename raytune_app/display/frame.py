"""The picture of a study at one moment: what `raytune run` and `raytune watch` draw, and a notebook shows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.jupyter import JupyterMixin
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from raytune_app.display.columns import Columns
from raytune_app.display.text import duration, number, one_line
from raytune_app.display.trials import MAX_ROWS, trial_table
from raytune_app.spec import Experiment
from raytune_app.tuning.account import Account
from raytune_app.tuning.overview import device_hours
from raytune_app.tuning.rungs import RungRow, rung_table
from raytune_app.tuning.view import TrialState

MAX_RUNGS, MAX_WAITING, MAX_NODES, MIN_ROWS = 6, 4, 5, 3
HEADER_LINES = 4
TABLE_LINES = 3
"""Of the table of trials, beside its rows."""

_MAY_WAIT = (TrialState.RUNNING, TrialState.PAUSED, TrialState.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Budget:
    """How far a study is: `done` of `total` epochs, and the seconds left; None where they cannot be foreseen."""

    done: int
    total: int
    left_s: float | None


@dataclass(frozen=True)
class Frame(JupyterMixin):
    """A study as it is now; prints itself in a terminal and in a notebook.

    Args:
        headline: the study's state in words.
        record: the content of study.json.
        status: what the driver last wrote of its cluster, if it lives.
        alarm: what is wrong, and the remedy.
    """

    account: Account
    experiment: Experiment
    headline: str
    record: Mapping[str, Any]
    status: Mapping[str, Any] | None = None
    alarm: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """As high as the terminal: the table of trials takes what the rest leaves."""
        below = [*self._rungs(), *self._waiting(), *self._nodes()]
        yield from self._header()
        if self.account.view.trials:
            rows = MAX_ROWS
            if console.is_terminal and not console.is_jupyter:
                rows = console.height - HEADER_LINES - bool(self.alarm) - TABLE_LINES - sum(map(_lines, below)) - 1
            yield trial_table(self.account, min(MAX_ROWS, max(MIN_ROWS, rows)), options.max_width)
        yield from below

    def _header(self) -> Iterator[RenderableType]:
        yield Text(f"{self.record['study']}: {self.headline}", style="bold", overflow="ellipsis", no_wrap=True)
        if self.alarm:
            yield Text(one_line(self.alarm), style="bold red")
        if not self.account.view.study:
            return
        yield Text(best_text(self.account), overflow="ellipsis", no_wrap=True)
        yield self._progress()
        yield Text(", ".join(self._counts()), style="dim")

    def _progress(self) -> RenderableType:
        budget = budget_of(self.account, self.experiment, self.record, self.status)
        pace = self.account.epochs_per_minute
        words = [f"{budget.done}/{budget.total} epochs"]
        words += [f"{pace:.3g} epochs/min"] if pace else []
        words += [f"{duration(budget.left_s)} left"] if budget.left_s is not None else []
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(budget.total, 1), completed=budget.done, width=24)
        grid.add_row(bar, Text(", ".join(words)))
        return grid

    def _counts(self) -> Iterator[str]:
        counts, view = self.account.counts, self.account.view
        yield from (f"{counts[state]} {state}" for state in TrialState if counts[state])
        if view.planned_trials > len(view.trials):
            yield f"{view.planned_trials - len(view.trials)} to come"
        yield f"{device_hours(self.account, self.experiment, self.record, self.status):.3g} device-hours"

    def _rungs(self) -> Iterator[RenderableType]:
        if rungs := rung_table(self.account):
            yield rungs_drawn(rungs)

    def _waiting(self) -> Iterator[RenderableType]:
        waiting = [one for one in (self.status or {}).get("waiting", []) if self._still_waits(one)]
        for one in waiting[:MAX_WAITING]:
            who = "a new trial" if one.get("trial") is None else f"trial {one['trial']}"
            why = one.get("why") or f"needs {resources_text(one.get('asked') or {})}"
            yield Text(one_line(f"{who} waits: {why}"), style="yellow")
        if len(waiting) > MAX_WAITING:
            yield Text(f"{len(waiting) - MAX_WAITING} more wait", style="yellow")

    def _still_waits(self, one: Mapping[str, Any]) -> bool:
        """The log is newer than the driver's last beat: a trial that has reported since, or ended, waits no more."""
        trial = self.account.view.trials.get(-1 if one.get("trial") is None else one["trial"])
        if trial is None or self.status is None:
            return True
        reported = trial.last is not None and _is_later(trial.last["time"], self.status["time"])
        return trial.state in _MAY_WAIT and not reported

    def _nodes(self) -> Iterator[RenderableType]:
        nodes = list((self.status or {}).get("nodes", []))
        for node in nodes[:MAX_NODES]:
            yield Text(one_line(f"node {node.get('name')}: {_free(node)}", 120), style="dim")
        if len(nodes) > MAX_NODES:
            yield Text(f"{len(nodes) - MAX_NODES} more nodes", style="dim")


@dataclass(frozen=True)
class Guarded:
    """Draws a frame while nobody changes what it shows: the study goes on in another thread."""

    frame: Frame
    lock: threading.Lock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        with self.lock:
            drawn = list(console.render(self.frame, options))
        yield from drawn


def best_text(account: Account) -> str:
    """The best score so far, and whose it is."""
    leader, metric = account.leader, str(account.objective.metric)
    row = account.best(leader.number) if leader else None
    if leader is None or row is None:
        return f"no {metric} yet"
    return f"best {metric} {number(row[metric])}: trial {leader.number}, epoch {row['epoch']}"


def budget_of(
    account: Account, experiment: Experiment, record: Mapping[str, Any] = {}, status: Mapping[str, Any] | None = None
) -> Budget:
    """Epochs against all that the trials may take, or against the experiment's own limit where that is less.

    The time left is that of whichever limit comes first at the present pace.
    """
    limits = experiment.budget
    done, total = account.view.progress()
    pace, per_s = account.epochs_per_minute, account.settled_per_s
    left = [(total - done) / per_s] if per_s else []
    if limits.epochs is not None and limits.epochs < total:
        done, total = min(account.epochs, limits.epochs), limits.epochs
        left += [60 * (total - done) / pace] if pace else []
    if limits.wall_time_s is not None:
        left.append(limits.wall_time_s - account.wall_s)
    if limits.device_hours is not None and account.seconds and pace and account.epochs:
        used = device_hours(account, experiment, record, status)
        left.append((limits.device_hours - used) / (used / account.epochs) * 60 / pace)
    return Budget(done, total, max(0.0, min(left)) if left and done < total else None)


def rungs_drawn(rungs: Sequence[RungRow]) -> Columns:
    """Rungs, the last of them where there are many."""
    table = Columns(("judged after epoch", "reached", "went on", "waiting", "best", "went on from"))
    for row in rungs[-MAX_RUNGS:]:
        counts = (row.epoch, row.reached, row.promoted, row.waiting)
        table.add([*map(str, counts), number(row.best), number(row.cutoff)])
    return table


def resources_text(asked: Mapping[str, float]) -> str:
    """`1 CPU, 0.25 GPU`; memory in GB."""
    parts = [
        f"{amount / 2**30:.1f} GB of memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in asked.items()
    ]
    return ", ".join(parts) or "nothing"


def _is_later(time: str, than: str) -> bool:
    return datetime.fromisoformat(time) > datetime.fromisoformat(than)


def _free(node: Mapping[str, Any]) -> str:
    """What is free of what counts; Ray's own names for nodes and for its object store do not."""
    free, parts = node.get("available") or {}, []
    for name, amount in (node.get("resources") or {}).items():
        if name.startswith(("node:", "object_store", "accelerator_type")):
            continue
        if name == "memory":
            parts.append(f"{free.get(name, 0.0) / 2**30:.1f} of {amount / 2**30:.1f} GB")
        else:
            parts.append(f"{free.get(name, 0.0):g} of {amount:g} {name}")
    return ", ".join(parts) + " free"


def _lines(part: RenderableType) -> int:
    return part.height if isinstance(part, Columns) else 1
