"""A study's events as lines for people: `12:03:04 trial 3 epoch 4/9 loss 0.2310 accuracy 0.9312 (rung 1: continue)`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from raytune_app.display.frame import budget_of
from raytune_app.display.text import number, one_line, output_lines
from raytune_app.spec import Experiment
from raytune_app.tuning.account import Account
from raytune_app.tuning.view import Event

_LOGGED = ("loss", "accuracy")


class Narrator:
    """Tells events in their order; a new day is told on a line of its own. Times are this machine's.

    Args:
        experiment: which scores matter.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._epochs = experiment.train.epochs
        self._metrics = tuple(dict.fromkeys([*_LOGGED, *(str(each.metric) for each in experiment.objectives)]))
        self._day = ""

    def lines(self, event: Event) -> list[str]:
        """The event in words, printable; the text of a trial's own output one line for each of its lines."""
        if event["event"] in ("study_started", "study_resumed"):
            self._epochs = event["epochs"]
        tell = getattr(self, f"_tell_{event['event']}", self._tell_other)
        first, *more = tell(event)
        time = datetime.fromisoformat(event["time"]).astimezone()
        day = [] if self._day == f"{time:%Y-%m-%d}" else [f"{time:%Y-%m-%d}"]
        self._day = f"{time:%Y-%m-%d}"
        return [*day, f"{time:%H:%M:%S} {first}", *more]

    def _tell_study_started(self, event: Event) -> list[str]:
        return [f"study started: {event['trials']} trials of up to {event['epochs']} epochs"]

    def _tell_study_resumed(self, event: Event) -> list[str]:
        changes = [
            f"         {one_line(path)}: {one_line(change[0])} -> {one_line(change[1])}"
            for path, change in event.get("changes", {}).items()
        ]
        return [f"study resumed: {event['trials']} trials of up to {event['epochs']} epochs", *changes]

    def _tell_trial_started(self, event: Event) -> list[str]:
        role = "" if event.get("role", "search") == "search" else f" ({event['role']}{_of(event)})"
        return [f"trial {event['trial']} started{role}: {values_text(event['config'])}"]

    def _tell_trial_resumed(self, event: Event) -> list[str]:
        source = ""
        if event["source"] not in (None, event["trial"]):
            source = (
                f" from trial {event['source']}'s epoch {event['source_epoch']}, with {values_text(event['config'])}"
            )
        return [f"trial {event['trial']} goes on after epoch {event['epoch']} ({one_line(event['reason'])}){source}"]

    def _tell_epoch(self, event: Event) -> list[str]:
        scores = [f"{name} {number(event[name])}" for name in self._metrics if name in event]
        words = [f"trial {event['trial']} epoch {event['epoch']}/{self._epochs}", *scores]
        if event.get("decision"):
            rung = "" if event.get("rung") is None else f"rung {event['rung']}: "
            words.append(f"({rung}{one_line(event['decision'])})")
        return [" ".join(words)]

    def _tell_checkpoint(self, event: Event) -> list[str]:
        return [f"trial {event['trial']} saved its epoch {event['epoch']} ({event.get('mb', 0.0):.2f} MB)"]

    def _tell_checkpoint_deleted(self, event: Event) -> list[str]:
        return [f"trial {event['trial']} keeps its epoch {event['epoch']} no longer"]

    def _tell_trial_paused(self, event: Event) -> list[str]:
        return [f"trial {event['trial']} paused after epoch {event['epoch']}"]

    def _tell_trial_interrupted(self, event: Event) -> list[str]:
        error = f": {one_line(event['error'])}" if event.get("error") else ""
        return [f"trial {event['trial']} interrupted{error}"]

    def _tell_trial_ended(self, event: Event) -> list[str]:
        error = f": {one_line(event['error'], 1000)}" if event.get("error") else ""
        details = [f"         {line}" for line in output_lines(event["details"])] if event.get("details") else []
        return [f"trial {event['trial']} {event['state']}{error}", *details]

    def _tell_study_ended(self, event: Event) -> list[str]:
        reason = f" by {one_line(event['reason'])}" if event.get("reason") else ""
        return [f"study {event['state']}{reason}"]

    def _tell_output(self, event: Event) -> list[str]:
        lines = [f"    trial {event['trial']} | {line}" for line in output_lines(str(event["text"]))]
        return [f"trial {event['trial']} epoch {event['epoch']} printed:", *lines]

    def _tell_other(self, event: Event) -> list[str]:
        fields = {name: value for name, value in event.items() if name not in ("event", "time")}
        return [one_line(f"{event['event']} {values_text(fields)}", 300)]


def ended_line(account: Account, experiment: Experiment, trial: int) -> str:
    """A trial that has ended, how far the study is in epochs, and the best so far."""
    metric, ended = str(account.objective.metric), account.view.trials[trial]
    best, leader, budget = account.best(trial), account.leader, budget_of(account, experiment)
    score = f"{metric} {number(best[metric])}" if best else one_line(ended.error or "no score")
    top = account.best(leader.number) if leader else None
    told = f"best: trial {leader.number} {number(top[metric])}" if leader and top else "no best yet"
    what = f"trial {trial:>2} {ended.state:<8} after {len(ended.epochs):>2} epochs"
    return f"[{budget.done:>3}/{budget.total}] {what}  {score}  {told}"


def values_text(values: Mapping[str, Any]) -> str:
    """Settings in a line; numbers in four digits."""
    shown = (f"{path} {value:.4g}" if isinstance(value, float) else f"{path} {value}" for path, value in values.items())
    return one_line(", ".join(shown), 300)


def _of(event: Event) -> str:
    return f" of trial {event['of']}" if event.get("of") is not None else ""
