"""What is watched is never half told: after a failure, and when a driver falls silent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raytune_app.board.chronicle import Chronicle
from raytune_app.board.watched import Watched
from raytune_app.errors import StorageError
from raytune_app.storage import Storage
from raytune_app.tuning.folder import StudyFolder
from tests.board.small import begin, experiment, make_study, train


def watch(folder: StudyFolder) -> Watched:
    """The study, which is looked for at every call."""
    watched = Watched(folder)
    watched.look_s = 0.0
    return watched


def fails_once(real: Callable[..., Any], error: Exception, after: Callable[..., bool]) -> Callable[..., Any]:
    """`real`, but for the first call with arguments that fit `after`."""
    left = [error]

    def called(*given: Any) -> Any:
        if left and after(*given):
            raise left.pop()
        return real(*given)

    return called


def test_events_survive_a_storage_that_is_away_as_a_study_is_resumed(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log = make_study(storage)
    watched = watch(folder)
    watched.look()
    storage.write(folder.paths.spec, experiment(trials=9).to_yaml())
    log.append("study_resumed", trials=9, epochs=3)
    begin(log, 0)
    away = fails_once(Storage.read, StorageError("away", "wait"), lambda _, path: path == folder.paths.spec)
    monkeypatch.setattr(Storage, "read", away)
    with pytest.raises(StorageError):
        watched.look()
    train(log, 0, 1, 0.5)
    watched.look()
    assert len(watched.trial(0)["epochs"]) == 1
    assert watched.experiment.trials == 9


def test_a_fold_that_fails_begins_anew_and_pages_are_sent_all(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    watched = watch(folder)
    before = watched.look()
    begin(log, 1)
    train(log, 1, 1, 0.5)
    torn = fails_once(Chronicle._take, ValueError("torn"), lambda _, event: event["event"] == "epoch")
    monkeypatch.setattr(Chronicle, "_take", torn)
    with pytest.raises(ValueError, match="torn"):
        watched.look()
    watched.look()
    told = watched.since(before)["columns"]["trials"]
    assert (told["number"], told["epochs"]) == ([0, 1], [0, 1])


def test_a_driver_that_falls_silent_is_news_though_no_file_changes(storage: Storage) -> None:
    folder, _ = make_study(storage)
    driver = {"host": "elsewhere", "pid": 1, "started": 0.0}
    folder.update(driver=driver)
    beat = datetime.now(UTC)
    status = {"time": beat.isoformat(), "driver": driver, "slots": 1, "waiting": [], "nodes": []}
    storage.write_json(folder.paths.status, status)
    watched = watch(folder)
    alive = watched.look(beat)
    assert watched.look(beat + timedelta(seconds=1)) == alive and not watched.since(alive)["head"]["lost"]
    silent = watched.look(beat + timedelta(hours=1))
    assert silent != alive and watched.since(alive)["head"]["lost"]
    assert watched.look(beat) not in {alive, silent} and not watched.since(silent)["head"]["lost"]
