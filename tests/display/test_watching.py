"""A study is followed from its storage: whatever becomes of its driver, the watcher says so and ends when it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from raytune_app.display.watching import RESTART_S, Watching
from raytune_app.errors import NotFoundError, StorageError
from raytune_app.storage import Storage
from raytune_app.tuning.view import Event, StudyState
from tests.display.told import ELSEWHERE, Told


@pytest.fixture
def told(storage: Storage) -> Told:
    return Told(storage)


def test_what_happens_is_heard_once_and_in_order(told: Told) -> None:
    watching = Watching(told.folder)
    assert watching.poll() == [], "there is no log yet"
    told.start()
    told.trial(0, 0.5)
    heard: list[tuple[str, int]] = []

    def hear(event: Event) -> None:
        heard.append((event["event"], len(watching.account.view.trials)))

    watching.poll(hear)
    assert heard[:2] == [("study_started", 0), ("trial_started", 1)], "each before the next is known"
    told.epoch(0, 2, 0.6)
    assert [event["event"] for event in watching.poll(hear)] == ["epoch"]
    assert watching.poll() == []


def test_it_is_over_when_study_json_says_so_and_then_nothing_is_missing(told: Told) -> None:
    told.start()
    watching = Watching(told.folder)
    watching.poll()
    assert not watching.is_over
    told.log.append("study_ended", state="stopped", reason="interrupted")
    watching.poll()
    assert not watching.is_over, "the log comes before study.json"
    told.folder.update(state=StudyState.STOPPED.value, reason="interrupted")
    watching.poll()
    assert watching.is_over and watching.headline == "stopped by interrupted"


def test_a_queued_study_tells_its_place(told: Told) -> None:
    assert Watching(told.folder).headline == "in preparation"
    told.folder.update(job={"id": "j", "user": "u", "priority": 0, "submitted": "", "attempt": 1, "ahead": 2})
    watching = Watching(told.folder)
    assert watching.headline == "queued, 2 studies before it"
    assert not watching.is_over


def test_a_driver_that_died_here_is_told_with_the_remedy(told: Told) -> None:
    from raytune_app.tuning.folder import this_process

    dead = {**this_process(), "started": 1.0}
    told.start(dead)
    told.beat(datetime.now(UTC), dead)
    watching = Watching(told.folder)
    watching.poll()
    assert not watching.is_lost, "it has just written: another container may have this name"
    told.beat(datetime.now(UTC) - timedelta(seconds=8), dead)
    watching.poll()
    assert watching.is_over
    assert watching.alarm and f"raytune resume {told.folder.study}" in watching.alarm


def test_a_driver_elsewhere_is_lost_when_it_is_silent_and_may_come_back(told: Told) -> None:
    now, clock = datetime.now(UTC), [0.0]
    told.start(ELSEWHERE)
    told.folder.update(job={"id": "j", "user": "u", "priority": 0, "submitted": "", "attempt": 1, "ahead": 0})
    watching = Watching(told.folder, lambda: clock[0])
    told.beat(now - timedelta(seconds=20), ELSEWHERE)
    watching.poll()
    assert not watching.is_lost
    told.beat(now - timedelta(seconds=40), ELSEWHERE)
    watching.poll()
    assert watching.is_lost and not watching.is_over, "a cluster may start it again"
    clock[0] += RESTART_S - 1
    told.beat(datetime.now(UTC), ELSEWHERE)
    watching.poll()
    assert not watching.is_lost
    told.beat(now - timedelta(seconds=40), ELSEWHERE)
    watching.poll()
    clock[0] += 2
    assert not watching.is_over, "it is lost anew"
    clock[0] += RESTART_S
    assert watching.is_over


def test_a_storage_that_does_not_answer_is_told_and_asked_again(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.start()
    watching = Watching(told.folder)
    watching.poll()

    def fails(storage: Storage, path: str) -> bytes:
        raise StorageError("the network is down", "wait")

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "read", fails)
        assert watching.poll() == []
        assert watching.alarm and "the network is down" in watching.alarm
    told.trial(0, 0.5)
    assert watching.poll()
    assert watching.alarm is None
    told.folder.storage.delete(told.folder.paths.folder)
    with pytest.raises(NotFoundError):
        watching.poll()
