"""Studies as events, made without training: for the tests of figures and frames."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from raytune_app.spec import Experiment, parse
from raytune_app.tuning.view import Event, StudyView

Config = dict[str, Any]
EVIL = ["<b>bold</b>", "<img src=x onerror=alert(1)>", "<a href='javascript:alert(1)'>x</a>", "a&lt;b"]
MIXED: Config = {
    "evil": {"choice": EVIL},
    "mixed": {"choice": [1, True, "1", 1.0, "true", None]},
    "step": {"quniform": [0.0, 0.9, 0.3]},
    "width": {"lograndint": [2, 33]},
    "rate": {"loguniform": [1e-4, 1e-1]},
}
_BEGIN = datetime(2026, 1, 2, 3, tzinfo=UTC)


def experiment(objective: Any = None, params: Config | None = None, **changes: Any) -> Experiment:
    """One of a user's own training, whose settings and metrics may be anything."""
    settings = {"rate": {"loguniform": [1e-4, 1e-1]}, "depth": {"randint": [1, 9]}, "kind": {"choice": ["a", "b"]}}
    return parse(
        {
            "name": "made",
            "data": {"name": "mnist"},
            "trial": "mine:train",
            "params": settings if params is None else params,
            "train": {"epochs": 5},
            "objective": objective or {"metric": "score", "mode": "max"},
            "trials": 100,
            **changes,
        }
    )


TWO = [{"metric": "score", "mode": "max"}, {"metric": "cost", "mode": "min"}]


def started(epochs: int = 5) -> list[Event]:
    """A study's first event."""
    return [{"event": "study_started", "study": "made-1", "trials": 100, "epochs": epochs}]


def trial(
    number: int, config: Config, rows: Iterable[Config], state: str | None = "finished", **fields: Any
) -> list[Event]:
    """A trial's events: an epoch a row, a second each, in one of two slots; `state` None: it still runs."""
    start, slot = number // 2 * 10, number % 2
    events: list[Event] = [{"event": "trial_started", "trial": number, "config": config, **fields}]
    for epoch, row in enumerate(rows, start=1):
        time = (_BEGIN + timedelta(seconds=start + epoch)).isoformat()
        known = {"time": time, "epoch_s": 1.0, "host": "node", "pid": 100 + slot, "parameters": 7}
        events.append({"event": "epoch", "trial": number, "epoch": epoch, **known, **row})
    if state is not None:
        events.append({"event": "trial_ended", "trial": number, "state": state, "error": None})
    return events


def study(
    spec: Experiment,
    count: int,
    score: Callable[[Config], float] = lambda config: -abs(config.get("params.depth", 0) - 5.0),
    epochs: Callable[[int], int] | int = 5,
) -> StudyView:
    """A random search; each trial's score rises from `score` - 1 to `score`, and its cost is any number."""
    rng = random.Random(3)
    events = started()
    for number in range(count):
        config = {path: domain.sample(rng) for path, domain in spec.domains().items()}
        top, cost = score(config), rng.random()
        many = epochs if isinstance(epochs, int) else epochs(number)
        rows = [{"score": top - 1 + epoch / many, "cost": cost} for epoch in range(1, many + 1)]
        events += trial(number, config, rows, "finished" if many == 5 else "stopped")
    return StudyView.of(events)
