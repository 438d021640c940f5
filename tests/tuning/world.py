"""A cluster made of nothing: slots that train by formula, and whole studies through a Conductor in milliseconds."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raytune_app.spec import Experiment
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.events import EventLog, read_events
from raytune_app.tuning.search.base import Learnt
from raytune_app.tuning.space import trial_count
from raytune_app.tuning.view import Event

Score = Callable[[str, int, dict[str, Any]], float]
"""From the trained state, the epoch and the values."""


class KilledError(Exception):
    """The process died."""


class FragileLog(EventLog):
    """Dies after so many events, or in the middle of writing one."""

    def __init__(self, storage: Storage, paths: StudyPaths, dies_at: int | None, *, torn: bool) -> None:
        super().__init__(storage, paths)
        self._file, self._left, self._torn = Path(storage.full(paths.events)), dies_at, torn

    def append(self, event: str, **fields: Any) -> Event:
        if self._left == 0:
            if self._torn:
                with self._file.open("a") as file:
                    file.write('{"event": "epo')
            raise KilledError
        self._left = None if self._left is None else self._left - 1
        return super().append(event, **fields)


def hashed_score(state: str, epoch: int, values: dict[str, Any]) -> float:
    """A learning curve that rises with noise: it depends on all that the state was trained with."""
    level = hashlib.sha256(repr(sorted(values.items())).encode()).digest()
    return random.Random(level).random() * (1 - 0.5**epoch) + 0.05 * random.Random(state).random()


class World:
    """Runs studies of `experiment` in a folder.

    Args:
        slots: trials at once; the one that has come least far reports next, so the order of reports follows from what
            is saved alone.
        learnt: what the searcher knows of another study.
    """

    def __init__(
        self, experiment: Experiment, folder: Path, slots: int = 1, score: Score = hashed_score, learnt: Learnt = ()
    ) -> None:
        self.experiment, self.slots, self.score, self.learnt = experiment, slots, score, learnt
        self.storage, self.paths = Storage(str(folder)), StudyPaths("s")
        self.states: dict[str, str] = {}
        """What lies in each checkpoint: a digest of all that the state was trained with."""
        self.deleted: list[str] = []
        self.dies_at_deletion = False

    def edited(self, experiment: Experiment) -> World:
        """The same study with another experiment."""
        other = type(self)(experiment, Path(self.storage.root), self.slots, self.score, self.learnt)
        other.states = self.states
        return other

    def events(self) -> list[Event]:
        return read_events(self.storage, self.paths)

    def run(self, dies_at: int | None = None, *, torn: bool = False) -> Conductor:
        """Begin or go on, until all is done. Raises KilledError when the log says so."""
        log = FragileLog(self.storage, self.paths, dies_at, torn=torn)
        conductor = Conductor(self.experiment, log, clock=lambda: 0.0, delete=self._delete, learnt=self.learnt)
        size = {"trials": trial_count(self.experiment), "epochs": self.experiment.train.epochs}
        if self.storage.exists(self.paths.events):
            conductor.recall(self.events())
            log.append("study_resumed", **size, changes={})
        else:
            log.append("study_started", study="s", **size)
        self._train(conductor)
        return conductor

    def advance(self, state: str, values: dict[str, Any]) -> str:
        """The state after one more epoch with these values."""
        return hashlib.sha256(repr((state, sorted(values.items()))).encode()).hexdigest()

    def _delete(self, path: str) -> None:
        if self.dies_at_deletion:
            self.dies_at_deletion = False
            raise KilledError
        self.deleted.append(path)
        self.states.pop(path, None)

    def _train(self, conductor: Conductor) -> None:
        slots: dict[int, tuple[int, str]] = {}
        while True:
            while len(slots) < self.slots and (stint := conductor.next()) is not None:
                state = f"seed {stint.seed}" if stint.checkpoint is None else self.states[stint.checkpoint]
                slots[stint.trial] = stint.epoch, state
            if not slots:
                assert conductor.over, "nothing trains, nothing can be started, and the study is not over"
                return
            trial = min(slots, key=lambda each: (slots[each][0], each))
            epoch, state = slots.pop(trial)
            state = self.advance(state, conductor.view.trials[trial].config)
            if self._epoch(conductor, trial, epoch + 1, state):
                slots[trial] = epoch + 1, state

    def _epoch(self, conductor: Conductor, trial: int, epoch: int, state: str) -> bool:
        score = self.score(state, epoch, conductor.view.trials[trial].config)
        last, diverged = epoch >= self.experiment.train.epochs, math.isnan(score)
        row = {"epoch": epoch, "accuracy": score, "epoch_s": 1.0, "parameters": 9, "diverged": diverged}
        goes_on = conductor.reported(trial, {**row, "finished": last or diverged}, saves=not diverged)
        if not diverged:
            path = f"c/{trial}/{epoch}"
            self.states[path] = state
            conductor.saved(trial, epoch, path, 1.0)
        if not goes_on:
            conductor.ended(trial)
        return goes_on


def decisions(events: list[Event]) -> dict[str, Any]:
    """What was decided, however often the study was interrupted: the same for the same study."""
    last: dict[tuple[int, int], Any] = {}
    for event in events:
        if event["event"] == "epoch":
            last[event["trial"], event["epoch"]] = (event["accuracy"], event["decision"], event["rung"])
    keys = ("trial", "epoch", "source", "source_epoch", "config", "reason")
    return {
        "started": [(e["trial"], e["config"], e["role"], e["of"]) for e in events if e["event"] == "trial_started"],
        "resumed": [
            [e[key] for key in keys] for e in events if e["event"] == "trial_resumed" and e["reason"] != "restarted"
        ],
        "epochs": last,
        "ended": sorted((e["trial"], e["state"]) for e in events if e["event"] == "trial_ended"),
    }
