"""What a page shows of a study beyond `StudyView`: when things happened, where, what was printed, and what is new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.tuning.account import Account
from raytune_app.tuning.view import Event, StudyView, TrialView

OUTPUT_CHARACTERS = 64_000
"""Of what one trial printed, the last so many are kept."""


@dataclass(slots=True)
class TrialTimes:
    """When a trial did what, in seconds since 1970.

    Attributes:
        stints: when each of its stints began.
        ended: when it paused, was interrupted or ended; None while it trains.
        train_s: seconds it trained, epochs that were lost and trained again included.
        output: what it printed, by epoch, oldest first.
    """

    stints: list[float] = field(default_factory=list)
    ended: float | None = None
    train_s: float = 0.0
    output: list[tuple[int, str]] = field(default_factory=list)


class Chronicle:
    """A fold over the events of a study; `take` goes on with more of them.

    Args:
        objective: what makes a trial better.

    Attributes:
        account: of the trials, the best and what was used.
        times: by trial.
        version: how many events were taken: a page that has seen this many is up to date.
        changed: by trial, the version at which it last changed.
        begun: when the study was first started, in seconds since 1970; 0 before its first event.
        slots: the processes that trained, as (host, pid), numbered in the order in which they appeared.
    """

    def __init__(self, objective: ObjectiveSpec, events: Iterable[Event] = ()) -> None:
        self.account = Account(objective)
        self.times: dict[int, TrialTimes] = {}
        self.version = 0
        self.changed: dict[int, int] = {}
        self.begun = 0.0
        self.slots: dict[tuple[str, int], int] = {}
        self.take(events)

    @property
    def view(self) -> StudyView:
        """What the log says of the study and its trials."""
        return self.account.view

    @property
    def on_gpu(self) -> bool:
        """Whether any trial has used a GPU."""
        return any(trial.last.get("peak_gpu_mb") for trial in self.view.trials.values() if trial.last)

    def take(self, events: Iterable[Event]) -> None:
        """Fold more events in; kinds from a newer version are passed over."""
        for event in events:
            self._take(event)

    def since(self, version: int) -> list[TrialView]:
        """The trials that changed after this version, by number."""
        return [trial for number, trial in sorted(self.view.trials.items()) if self.changed[number] > version]

    def _take(self, event: Event) -> None:
        self.version += 1
        self.account.apply(event)
        kind, time = event["event"], seconds(event["time"])
        self.begun = self.begun or time
        number = event.get("trial")
        if number is None or number not in self.view.trials:
            return
        self.changed[number] = self.version
        times = self.times.setdefault(number, TrialTimes())
        if kind in {"trial_started", "trial_resumed"}:
            times.stints.append(time)
            times.ended = None
        elif kind in {"trial_paused", "trial_interrupted", "trial_ended"}:
            times.ended = time
        elif kind == "epoch":
            times.train_s += event.get("epoch_s") or 0.0
            if event.get("pid") is not None:
                self.slots.setdefault((event.get("host", ""), event["pid"]), len(self.slots))
        elif kind == "output":
            _keep_output(times.output, event["epoch"], event["text"])


def seconds(time: str) -> float:
    """A time of the log, ISO 8601, in seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()


def _keep_output(output: list[tuple[int, str]], epoch: int, text: str) -> None:
    output.append((epoch, text))
    while len(output) > 1 and sum(len(part) for _, part in output) > OUTPUT_CHARACTERS:
        output.pop(0)
