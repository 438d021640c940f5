"""A list of studies reads little, and one study that is broken, lost or waiting hides no other."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from raytune_app.storage import Storage
from raytune_app.tuning.overview import overview, overviews
from raytune_app.tuning.view import StudyState
from tests.display.told import ELSEWHERE, Told


def _ended(storage: Storage, state: StudyState = StudyState.FINISHED) -> Told:
    told = Told(storage)
    told.start()
    told.trial(0, 0.5, 0.6, 0.9)
    told.trial(1, 0.1, state="stopped")
    told.trial(2, 0.2, state="failed", error="ValueError: bad")
    told.end(state, "interrupted" if state is StudyState.STOPPED else None)
    return told


@pytest.mark.parametrize("state", [StudyState.FINISHED, StudyState.STOPPED])
def test_an_ended_study_tells_the_same_without_its_log(storage: Storage, state: StudyState) -> None:
    told = _ended(storage, state)
    facts = overview(told.folder)
    assert (facts.metric, facts.score, facts.trial) == ("accuracy", 0.9, 0)
    assert (facts.running, facts.done, facts.failed) == (0, 2, 1)
    assert facts.device_hours == pytest.approx(5 * 2.0 * 2 / 3600)
    storage.write(told.folder.paths.events, "no log any more")
    assert overview(told.folder) == facts
    told = _ended(storage, state)
    storage.delete_file(told.folder.paths.trials)
    assert replace(overview(told.folder), study=facts.study, created=facts.created) == facts, "as its log has it"


def test_a_table_of_an_earlier_version_is_passed_over_for_the_log(storage: Storage) -> None:
    told = _ended(storage)
    facts = overview(told.folder)
    buffer = io.BytesIO()
    table = pq.read_table(io.BytesIO(storage.read(told.folder.paths.trials)))
    pq.write_table(table.drop(["trained_s", "gpu_mb"]), buffer)
    storage.write(told.folder.paths.trials, buffer.getvalue())
    assert overview(told.folder) == facts


def test_a_running_study_is_told_by_its_log(storage: Storage) -> None:
    told = Told(storage)
    told.start()
    told.trial(0, 0.5, 0.6, 0.7)
    told.trial(1, 0.3, state=None)
    facts = overview(told.folder)
    assert (facts.state, facts.score, facts.trial, facts.running, facts.done) == ("running", 0.7, 0, 1, 1)


def test_a_study_whose_driver_is_silent_is_stale(storage: Storage) -> None:
    told = Told(storage)
    told.start(ELSEWHERE)
    told.beat(datetime.now(UTC), ELSEWHERE)
    assert overview(told.folder).state == "running"
    told.beat(datetime.now(UTC) - timedelta(seconds=31), ELSEWHERE)
    assert overview(told.folder).state == "stale"


def test_the_list_is_newest_first_and_a_broken_study_hides_no_other(storage: Storage) -> None:
    waiting, ended = Told(storage), _ended(storage)
    ended.folder.update(created="2026-01-02T00:00:00+00:00")
    waiting.folder.update(created="2026-01-03T00:00:00+00:00", job={"ahead": 2})
    storage.write("studies/broken/study.json", "{")
    storage.write("studies/odd/study.json", '{"state": "running"}')
    storage.write("studies/not-yet/spec.yaml", "name: x")
    found = overviews(storage)
    assert [one.state for one in found] == ["queued", "finished", "corrupt", "corrupt"]
    assert {one.study for one in found[2:]} == {"broken", "odd"}
    assert all(one.reason for one in found[2:])
