"""A tail tells each event once and in order, whatever it meets of the log, on any storage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytune_app import appended
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.events import EventLog, read_events
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.tail import Tail
from raytune_app.tuning.view import StudyView
from tests.s3_server import S3Server

PATHS = StudyPaths("s-1")


@pytest.fixture(params=["disk", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    uris: dict[str, Callable[[], str]] = {
        "disk": lambda: str(tmp_path),
        "memory": lambda: "mock:///bucket",
        "s3": lambda: request.getfixturevalue("s3").uri(),
    }
    return Storage(uris[request.param]())


def test_each_event_is_told_once_and_the_view_is_the_log_s(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appended, "PART_BYTES", 400)
    tail, log, told, view = Tail(StudyFolder(storage, PATHS)), EventLog(storage, PATHS), [], StudyView()
    assert tail.new() == []
    for epoch in range(30):
        log.append("epoch" if epoch else "trial_started", trial=0, epoch=epoch, config={}, accuracy=epoch / 30)
        if epoch % 7 == 3:
            told += tail.new()
            assert len(told) == epoch + 1
    told += tail.new()
    assert tail.new() == []
    assert told == read_events(storage, PATHS) == Tail(StudyFolder(storage, PATHS)).new()
    for event in told:
        view.apply(event)
    assert view == log.view


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(0, 400), max_size=8), sizes=st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_a_line_is_told_when_it_is_whole_however_the_bytes_arrive(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], sizes: list[int]
) -> None:
    storage = Storage(str(tmp_path_factory.mktemp("log")))
    events = [{"event": "epoch", "epoch": number, "text": "ü" * size} for number, size in enumerate(sizes)]
    content = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events).encode()
    storage.write(PATHS.events, b"")
    tail, told, path = Tail(StudyFolder(storage, PATHS)), [], Path(storage.full(PATHS.events))
    for cut in sorted(cuts):
        path.write_bytes(content[:cut])
        told += tail.new()
        assert len(told) == content[:cut].count(b"\n")
    path.write_bytes(content)
    assert told + tail.new() == events


def test_a_line_that_a_crash_cut_short_is_never_told_and_hides_no_later_one(storage: Storage) -> None:
    storage.write(PATHS.events, '{"event": "study_started"}\n{"event": "epo')
    tail = Tail(StudyFolder(storage, PATHS))
    assert [event["event"] for event in tail.new()] == ["study_started"]
    EventLog(storage, PATHS).append("study_resumed", trials=1, epochs=1, changes={})
    assert [event["event"] for event in tail.new()] == ["study_resumed"]


def test_a_poll_of_a_bucket_without_news_is_one_request(s3: S3Server) -> None:
    storage = Storage(s3.uri())
    EventLog(storage, PATHS).append("study_started", study="s", trials=1, epochs=1)
    tail = Tail(StudyFolder(storage, PATHS))
    assert len(tail.new()) == 1
    before = len(s3.requests())
    assert tail.new() == []
    assert len(s3.requests()) == before + 1


def test_what_was_told_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    log, tail, read = EventLog(storage, PATHS), Tail(StudyFolder(storage, PATHS)), []
    real = appended._read

    def counted(fs: object, target: str, offset: int) -> bytes:
        read.append(len(real(fs, target, offset)))
        return real(fs, target, offset)

    monkeypatch.setattr(appended, "_read", counted)
    for epoch in range(50):
        log.append("epoch" if epoch else "trial_started", trial=0, epoch=epoch, config={})
        tail.new()
    assert sum(read) == Path(storage.full(PATHS.events)).stat().st_size
