"""A study followed event by event: what `StudyView` folds, and the best, the use and the pace that a watcher asks for.

Everything is kept up to date by each event alone, so that a study of thousands of trials costs no more to follow.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.tuning.resources import gpu_share
from raytune_app.tuning.view import Event, Role, StudyView, TrialState, TrialView

RECENT = 100
"""Epochs over which the pace is measured."""


class Account:
    """Takes a study's events in their order.

    Args:
        objective: what makes a trial better.

    Attributes:
        view: the study's trials.
        epochs, seconds: what the search has trained, and how long, epochs that were lost included.
        wall_s: seconds that the study was worked on.
        last_time: of the newest event, ISO 8601; None before the first.
        judged: by rung and trial, the epoch at which the trial was judged there.
    """

    def __init__(self, objective: ObjectiveSpec, events: Iterable[Event] = ()) -> None:
        self.objective = objective
        self.view = StudyView()
        self.epochs, self.seconds, self.wall_s = 0, 0.0, 0.0
        self.last_time: str | None = None
        self.judged: dict[int, dict[int, Event]] = {}
        self._best: dict[int, Event] = {}
        self._settled: dict[int, int] = {}
        self._total = 0
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT)
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Take one event; kinds from a newer version are passed over."""
        self.view.apply(event)
        self._take_time(event)
        trial = self.view.trials.get(event.get("trial", -1))
        if trial is None:
            return
        self._settle(trial)
        if event["event"] == "epoch":
            self._take_epoch(trial, event)
        elif event["event"] == "trial_resumed":
            self._score_again(trial)
            for rows in self.judged.values():
                if trial.number in rows and rows[trial.number]["epoch"] > event["epoch"]:
                    del rows[trial.number]

    def best(self, trial: int) -> Event | None:
        """The trial's best epoch by the objective; None if no score is finite."""
        return self._best.get(trial)

    @property
    def leader(self) -> TrialView | None:
        """The trial of the search with the best score so far, the earliest of equals; never one that diverged."""
        metric, sign = self.objective.metric, self.objective.sign
        trials = self.view.trials
        searched = [n for n in self._best if trials[n].role is Role.SEARCH]
        scored = [n for n in searched if trials[n].state is not TrialState.DIVERGED]
        return trials[max(scored, key=lambda n: (sign * self._best[n][metric], -n))] if scored else None

    @property
    def counts(self) -> Counter[TrialState]:
        """How many trials there are in each state."""
        return Counter(trial.state for trial in self.view.trials.values())

    @property
    def epochs_per_minute(self) -> float | None:
        """Over the most recent epochs; None before the second."""
        if len(self._recent) < 2 or self._recent[-1][0] <= self._recent[0][0]:
            return None
        return 60 * (len(self._recent) - 1) / (self._recent[-1][0] - self._recent[0][0])

    @property
    def settled_per_s(self) -> float | None:
        """Epochs settled a second, those too that ending a trial early has saved; None before the second epoch."""
        if len(self._recent) < 2 or self._recent[-1][0] <= self._recent[0][0]:
            return None
        return (self._recent[-1][1] - self._recent[0][1]) / (self._recent[-1][0] - self._recent[0][0])

    def _take_time(self, event: Event) -> None:
        """A pause before a resumption is nobody's time."""
        if event["event"] == "study_resumed":
            self._recent.clear()
        elif self.last_time is not None:
            self.wall_s += max(0.0, _seconds(event["time"]) - _seconds(self.last_time))
        self.last_time = event["time"]

    def _take_epoch(self, trial: TrialView, event: Event) -> None:
        if event.get("rung") is not None:
            self.judged.setdefault(event["rung"], {})[trial.number] = event
        if trial.role is Role.SEARCH:
            self.epochs += 1
            self.seconds += event.get("epoch_s") or 0.0
        best = self._best.get(trial.number)
        if best is not None and best["epoch"] >= event["epoch"]:
            self._score_again(trial)
        else:
            self._compare(trial.number, event)
        self._recent.append((_seconds(event["time"]), self._total))

    def _compare(self, trial: int, row: Event) -> None:
        metric, sign, best = self.objective.metric, self.objective.sign, self._best.get(trial)
        value = row.get(metric)
        if value is not None and (best is None or sign * value > sign * best[metric]):
            self._best[trial] = row

    def _score_again(self, trial: TrialView) -> None:
        """Some of its epochs count no longer."""
        self._best.pop(trial.number, None)
        for row in trial.epochs:
            self._compare(trial.number, row)

    def _settle(self, trial: TrialView) -> None:
        is_alive = trial.state in (TrialState.RUNNING, TrialState.PAUSED, TrialState.INTERRUPTED)
        settled = len(trial.epochs) if is_alive else self.view.epochs_per_trial
        self._total += settled - self._settled.get(trial.number, 0)
        self._settled[trial.number] = settled


def devices_of(resources: Mapping[str, Any], workers: int, record: Mapping[str, Any], *, on_gpu: bool) -> float:
    """What an hour of one trial counts against `budget.device_hours`: its GPUs, or its CPUs where it has none.

    Args:
        resources: the experiment's section.
        workers: processes that train one trial.
        record: the content of study.json: what was measured where `gpus: auto` was asked.
        on_gpu: whether its trials used a GPU, for `auto`.
    """
    gpus = resources["gpus"]
    if gpus == "auto":
        measured = (record.get("speed") or {}).get("gpu")
        gpus = 0.0
        if on_gpu:
            gpus = gpu_share(measured["peak_mb"], measured["total_mb"]) if measured and workers == 1 else 1.0
    return float(gpus or resources["cpus"]) * workers


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
