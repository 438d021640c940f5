"""What the verb show prints: of a study, and of one of its trials."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType

from raytune_app.cli.output import result
from raytune_app.cli.summary import champion_text, winner_text
from raytune_app.display.drawn import drawn
from raytune_app.display.frame import rungs_drawn
from raytune_app.display.lines import values_text
from raytune_app.display.text import curve_range, duration, number, one_line, output_lines, sparkline
from raytune_app.display.trials import Trials
from raytune_app.display.watching import Watching
from raytune_app.errors import NotFoundError, StorageError
from raytune_app.tuning.account import Account
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.overview import device_hours
from raytune_app.tuning.rungs import rung_table
from raytune_app.tuning.view import Event, StudyState, TrialView

OUTPUT_LINES = 20
"""The last of a trial's own output that are shown."""
CURVE_WIDTH = 60


def show_study(args: argparse.Namespace, folder: StudyFolder) -> int:
    """The verb `show`."""
    watching, _ = _read(folder)
    account, record, winner = watching.account, watching.record, folder.winner()
    hours = device_hours(account, watching.experiment, record, watching.status)
    parts: list[RenderableType] = [Trials(account)]
    rungs = rung_table(account)
    parts += [rungs_drawn(rungs)] if rungs else []
    lines = [
        f"{folder.study}: {watching.headline}",
        *_facts(watching, hours),
        drawn(*parts, styled=sys.stdout.isatty()),
    ]
    lines += [winner_text(winner, None)] if winner else []
    lines += [champion_text(winner["test"])] if winner and winner["test"] else []
    spent = {"epochs": account.epochs, "device_hours": hours, "wall_s": account.wall_s}
    content = {"study": record, "winner": winner, "spent": spent, "rungs": [asdict(row) for row in rungs]}
    result(args, "\n".join(lines), content, _next(watching, winner))
    return 0


def show_trial(args: argparse.Namespace, folder: StudyFolder, number_of_trial: int) -> int:
    """The verb `show --trial`. Raises NotFoundError for a trial that there is not."""
    watching, events = _read(folder)
    trial = watching.account.view.trials.get(number_of_trial)
    if trial is None:
        known = len(watching.account.view.trials)
        raise NotFoundError(f"there is no trial {number_of_trial}", f"the study has {known} trials so far, from 0")
    own = [event for event in events if event.get("trial") == trial.number]
    lines = [
        f"trial {trial.number} of {folder.study}: {trial.state} after {len(trial.epochs)} epochs",
        *(f"  {one_line(path)}: {one_line(value)}" for path, value in trial.config.items()),
        *_curves(watching.account, trial),
        *_stints(trial),
        *_checkpoints(folder, trial),
        *_errors(trial, own),
        *_output(own),
    ]
    then = [f"raytune logs {folder.study} --trial {trial.number}", f"raytune show {folder.study}"]
    result(args, "\n".join(lines), {"study": folder.study, "trial": _trial_dict(trial), "events": own}, then)
    return 0


def _read(folder: StudyFolder) -> tuple[Watching, list[Event]]:
    watching = Watching(folder)
    events = watching.poll()
    if watching.trouble:
        raise StorageError(watching.trouble, "try again, or look into the storage")
    return watching, events


def _facts(watching: Watching, hours: float) -> Iterator[str]:
    """What it used of what it might, who asked for it, what went wrong."""
    account, record, limits = watching.account, watching.record, watching.experiment.budget
    done, total = account.view.progress()
    if watching.alarm:
        yield f"  {one_line(watching.alarm)}"
    yield f"  made {record['created']}, worked on for {duration(account.wall_s)}{_of(limits.wall_time_s, ' s')}"
    yield f"  trained {account.epochs} epochs{_of(limits.epochs)}, {hours:.3g} device-hours{_of(limits.device_hours)}"
    yield f"  settled {done} of {total} epochs, {_counts(account)}"
    if job := record.get("job"):
        yield f"  {one_line(_job(job))}"
    faults = {trial.number: trial.faults for trial in account.view.trials.values() if trial.faults}
    if faults:
        told = ", ".join(f"trial {trial} {count}" for trial, count in list(faults.items())[:10])
        yield f"  processes that died and were tried again: {told}"


def _of(limit: float | None, unit: str = "") -> str:
    return "" if limit is None else f" of {limit:g}{unit}"


def _counts(account: Account) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(account.counts.items())) or "no trial yet"


def _job(job: Mapping[str, Any]) -> str:
    priority = f", priority {job['priority']}" if job.get("priority") else ""
    return f"job {job['id']} of {job['user']}, submitted {job['submitted']}, attempt {job['attempt']}{priority}"


def _next(watching: Watching, winner: Mapping[str, Any] | None) -> list[str]:
    study = watching.folder.study
    then = [f"raytune report {study}"]
    if not watching.is_over:
        then.insert(0, f"raytune watch {study}")
    elif watching.state is not StudyState.FINISHED:
        then.insert(0, f"raytune resume {study}")
    if winner:
        then.append(f"raytune show {study} --trial {winner['trial']}")
    if winner and winner["model"]:
        then.append(f"raytune serve {winner['model']['name']}@{winner['model']['version']}")
    return then


def _curves(account: Account, trial: TrialView) -> Iterator[str]:
    """The objective's, and the loss's where that is another."""
    for metric, sign in {"loss": -1, str(account.objective.metric): account.objective.sign}.items():
        values = [row.get(metric) for row in trial.epochs]
        known = [value for value in values if value is not None]
        if known:
            low, high = curve_range([values], sign)
            span = f"{number(known[0])} to {number(known[-1])}, best {number(sign * max(sign * v for v in known))}"
            yield f"{metric}: {sparkline(values, low, high, CURVE_WIDTH)}  {span}"


def _stints(trial: TrialView) -> Iterator[str]:
    if len(trial.stints) < 2:
        return
    yield "stints:"
    for before, stint in zip([None, *trial.stints], trial.stints, strict=False):
        source = ""
        if stint.source not in (None, trial.number):
            source = f" from trial {stint.source}'s epoch {stint.source_epoch}"
        changed = {path: value for path, value in stint.config.items() if before and before.config.get(path) != value}
        values = f", with {values_text(changed)}" if changed else ""
        yield f"  after epoch {stint.epoch}: {one_line(stint.reason)}{source}{values}"


def _checkpoints(folder: StudyFolder, trial: TrialView) -> Iterator[str]:
    yield "checkpoints:" if trial.checkpoints else "checkpoints: none kept"
    for epoch, saved in sorted(trial.checkpoints.items()):
        yield f"  epoch {epoch}, {saved.mb:.2f} MB, {one_line(folder.storage.location(folder.paths / saved.path))}"


def _errors(trial: TrialView, events: list[Event]) -> Iterator[str]:
    for event in events:
        if event["event"] == "trial_interrupted" and event.get("error"):
            yield f"interrupted: {one_line(event['error'])}"
    if trial.error:
        yield f"error: {one_line(trial.error, 1000)}"
    for event in events:
        yield from (f"  {line}" for line in output_lines(event.get("details") or "") if line)


def _output(events: list[Event]) -> Iterator[str]:
    lines = [line for event in events if event["event"] == "output" for line in output_lines(str(event["text"]))]
    if lines:
        yield "output:" if len(lines) <= OUTPUT_LINES else f"output, the last {OUTPUT_LINES} of {len(lines)} lines:"
        yield from (f"  {line}" for line in lines[-OUTPUT_LINES:])


def _trial_dict(trial: TrialView) -> dict[str, Any]:
    return {"number": trial.number, "state": trial.state.value, "config": trial.config, "error": trial.error}
