"""A copied state brings its source's past; the schedule is what a network was really trained with."""

from typing import Any

from raytune_app.tuning.lineage import schedule_of
from raytune_app.tuning.view import StudyView

EVENTS: list[dict[str, Any]] = [
    {"event": "trial_started", "trial": 0, "config": {"lr": 1}},
    {"event": "trial_started", "trial": 1, "config": {"lr": 2}},
    *({"event": "epoch", "trial": trial, "epoch": epoch} for trial in (0, 1) for epoch in (1, 2)),
    {
        "event": "trial_resumed", "trial": 0, "epoch": 2, "source": 1, "source_epoch": 2, "config": {"lr": 3},
        "reason": "copied",
    },
    {
        "event": "trial_resumed", "trial": 1, "epoch": 2, "source": 1, "source_epoch": 2, "config": {"lr": 2},
        "reason": "continued",
    },
    *({"event": "epoch", "trial": trial, "epoch": epoch} for trial in (0, 1) for epoch in (3, 4)),
]  # fmt: skip


def test_a_copy_was_trained_with_its_sources_values_first() -> None:
    view = StudyView.of(EVENTS)
    assert schedule_of(view, 0, 4) == [(0, {"lr": 2}), (2, {"lr": 3})]


def test_before_the_copy_its_own_values_count() -> None:
    assert schedule_of(StudyView.of(EVENTS), 0, 2) == [(0, {"lr": 1})]


def test_values_that_stay_are_told_once() -> None:
    assert schedule_of(StudyView.of(EVENTS), 1, 4) == [(0, {"lr": 2})]


def test_an_epoch_that_was_lost_leaves_no_trace() -> None:
    lost = {
        "event": "trial_resumed", "trial": 0, "epoch": 3, "source": 0, "source_epoch": 3, "config": {"lr": 3},
        "reason": "restarted",
    }  # fmt: skip
    view = StudyView.of([*EVENTS, lost, {"event": "epoch", "trial": 0, "epoch": 4}])
    assert [row["epoch"] for row in view.trials[0].epochs] == [1, 2, 3, 4]
    assert schedule_of(view, 0, 4) == [(0, {"lr": 2}), (2, {"lr": 3})]
