"""The event log is the truth, and survives a crash in mid-line."""

from pathlib import Path

from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.events import EventLog, read_events
from raytune_app.tuning.view import Event, StudyState, StudyView


def _log(folder: Path, observed: list[Event]) -> tuple[Storage, StudyPaths, EventLog]:
    storage, paths = Storage(str(folder)), StudyPaths("s")
    return storage, paths, EventLog(storage, paths, [observed.append])


def test_what_is_appended_is_read_back_and_observed(tmp_path: Path) -> None:
    observed: list[Event] = []
    storage, paths, log = _log(tmp_path, observed)
    log.append("study_started", study="s", trials=2, epochs=3)
    log.append("study_ended", state="finished", reason=None)
    assert read_events(storage, paths) == observed
    assert StudyView.of(observed).state is StudyState.FINISHED


def test_a_half_written_last_line_is_dropped(tmp_path: Path) -> None:
    storage, paths, log = _log(tmp_path, [])
    log.append("study_started", study="s", trials=2, epochs=3)
    whole = storage.read(paths.events)
    log.append("trial_started", trial=0, config={}, parameters=1)
    storage.write(paths.events, storage.read(paths.events)[: len(whole) + 20])
    assert [event["event"] for event in read_events(storage, paths)] == ["study_started"]


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    storage, paths, log = _log(tmp_path, [])
    log.append("trial_started", trial=0, config={}, parameters=None)
    log.append("epoch", trial=0, loss=float("nan"), nested={"x": [float("inf"), 1.0]})
    _, event = read_events(storage, paths)
    assert event["loss"] is None and event["nested"] == {"x": [None, 1.0]}


def test_a_trial_ended_early_counts_as_settled(tmp_path: Path) -> None:
    observed: list[Event] = []
    _, _, log = _log(tmp_path, observed)
    log.append("study_started", study="s", trials=2, epochs=9)
    log.append("trial_started", trial=0, config={}, parameters=1)
    log.append("epoch", trial=0, epoch=1, accuracy=0.5)
    assert StudyView.of(observed).progress() == (1, 18)
    log.append("trial_ended", trial=0, state="stopped", error=None)
    assert StudyView.of(observed).progress() == (9, 18)
