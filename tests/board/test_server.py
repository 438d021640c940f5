"""The board's answers: pages, studies, what is new, and errors that say what to do."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from raytune_app.board.assets import SENT
from raytune_app.board.server import Board
from raytune_app.errors import StorageError
from raytune_app.storage import Storage
from raytune_app.tuning.folder import StudyFolder
from tests.board.small import STUDY, begin, finish, make_study, train

Listening = Callable[[Any], AbstractContextManager[str]]


@pytest.fixture
def client(listening: Listening, storage: Storage) -> Iterator[httpx.Client]:
    board = Board(storage)
    with listening(board) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client
        board.closing = True


def news(client: httpx.Client, stamp: str, **headers: str) -> Iterator[dict[str, Any]]:
    """What the board sends after `stamp`."""
    with client.stream("GET", f"/api/studies/{STUDY}/events", params={"since": stamp}, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield from (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))


def test_every_file_of_the_page_is_sent_once_and_then_known(client: httpx.Client) -> None:
    for path in ("/", "/figure", *(f"/assets/{name}" for name in SENT)):
        answer = client.get(path)
        assert answer.status_code == 200 and answer.content, path
        known = client.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/assets/main.js", "/assets/..%2fserver.py", "/docs", "/openapi.json", "/api/studies/none-1"]
)
def test_nothing_else_is(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("study", ["..%2f..%2fetc", ".hidden", "a%20b"])
def test_what_cannot_be_a_study_is_refused_with_a_remedy(client: httpx.Client, study: str) -> None:
    answer = client.get(f"/api/studies/{study}")
    assert answer.status_code in {400, 404}
    if answer.status_code == 400:  # else it is not even an address of the board
        assert "study" in answer.json()["error"] and answer.json()["remedy"]


def test_an_unknown_study_and_trial_are_not_found(client: httpx.Client, storage: Storage) -> None:
    answer = client.get("/api/studies/none-1")
    assert answer.status_code == 404 and "raytune studies" in answer.json()["remedy"]
    make_study(storage)
    assert client.get(f"/api/studies/{STUDY}/trials/7").status_code == 404
    assert client.get(f"/api/studies/{STUDY}/figures/none").status_code == 404


def test_the_list_has_studies_that_run_that_ended_and_that_cannot_be_read(
    client: httpx.Client, storage: Storage
) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    finish(folder, log)
    _, running = make_study(storage, "tiny-20261102-000000-0000")
    begin(running, 0)
    train(running, 0, 1, 0.625)
    storage.write("studies/torn-20261103-000000-0000/study.json", "{")
    storage.write("studies/not_yet/spec.yaml", "")
    for _ in range(2):  # the second time from memory
        found = {one["study"]: (one["state"], one["score"]) for one in client.get("/api/studies").json()["studies"]}
        assert found == {
            "torn-20261103-000000-0000": ("corrupt", None),
            "tiny-20261102-000000-0000": ("running", 0.625),
            STUDY: ("finished", 0.7513),
        }


def test_a_study_comes_whole_and_compressed(client: httpx.Client, storage: Storage) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    finish(folder, log)
    answer = client.get(f"/api/studies/{STUDY}")
    assert answer.headers["content-encoding"] == "gzip"
    content = answer.json()
    assert content["head"]["winner"]["score"] == 0.7513
    assert content["columns"]["epochs"]["values"]["accuracy"] == [0.5, 0.7513]
    assert client.get(f"/api/studies/{STUDY}", headers={"accept-encoding": "identity"}).json() == content


def test_what_is_new_comes_by_itself_and_nothing_comes_twice(client: httpx.Client, storage: Storage) -> None:
    _, log = make_study(storage)
    begin(log, 0)
    begin(log, 1)
    stamp = client.get(f"/api/studies/{STUDY}").json()["stamp"]
    train(log, 1, 1, 0.25)
    received = news(client, stamp)
    first = next(received)
    assert first["columns"]["trials"]["number"] == [1]
    train(log, 0, 1, 0.5)
    second = next(received)
    assert second["columns"]["trials"]["number"] == [0]
    assert second["stamp"] != first["stamp"]


def test_a_page_that_comes_back_is_told_what_it_missed(client: httpx.Client, storage: Storage) -> None:
    _, log = make_study(storage)
    begin(log, 0)
    begin(log, 1)
    stamp = client.get(f"/api/studies/{STUDY}").json()["stamp"]
    train(log, 1, 1, 0.25)
    assert next(news(client, "", **{"last-event-id": stamp}))["columns"]["trials"]["number"] == [1]
    of_another_server = "0" * 8 + stamp[stamp.index("-") :]
    assert next(news(client, of_another_server))["columns"]["trials"]["number"] == [0, 1]


def test_a_winner_that_is_written_after_the_last_event_is_news(client: httpx.Client, storage: Storage) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    train(log, 0, 1, 0.5)
    stamp = client.get(f"/api/studies/{STUDY}").json()["stamp"]
    finish(folder, log)
    assert any(one["head"]["winner"] for one in news(client, stamp))


def test_a_storage_that_was_away_is_well_again_without_other_news(
    client: httpx.Client, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(storage)
    stamp = client.get(f"/api/studies/{STUDY}").json()["stamp"]
    away, real = [True], StudyFolder.record

    def record(folder: StudyFolder) -> dict[str, Any]:
        if away:
            raise StorageError("it is away", "wait")
        return real(folder)

    monkeypatch.setattr(StudyFolder, "record", record)
    with client.stream("GET", f"/api/studies/{STUDY}/events", params={"since": stamp}) as answer:
        told = (line for line in answer.iter_lines() if line.startswith("event: "))
        assert next(told) == "event: problem"
        away.clear()
        assert next(line for line in told if line != "event: problem") == "event: well"


def test_a_trial_is_told_in_full(client: httpx.Client, storage: Storage) -> None:
    _, log = make_study(storage)
    begin(log, 0)
    log.append("trial_ended", trial=0, state="failed", error="line one\nline two")
    assert client.get(f"/api/studies/{STUDY}/trials/0").json()["error"] == "line one\nline two"


def test_a_figure_says_what_it_lacks(client: httpx.Client, storage: Storage) -> None:
    make_study(storage)
    answer = client.get(f"/api/studies/{STUDY}/figures/importance")
    assert answer.status_code == 400 and answer.json()["remedy"]


@pytest.mark.parametrize("choice", ["name", "experiment", "view", "search", "title", "x", "objective", "epoch"])
def test_a_choice_that_a_figure_has_not_is_refused(client: httpx.Client, storage: Storage, choice: str) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    finish(folder, log)
    answer = client.get(f"/api/studies/{STUDY}/figures/history", params={choice: "x"})
    assert answer.status_code == 400 and answer.json()["error"] and answer.json()["remedy"]


def test_a_figure_comes_with_a_sentence(client: httpx.Client, storage: Storage) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    finish(folder, log)
    assert "history" in client.get(f"/api/studies/{STUDY}/figures").json()
    answer = client.get(f"/api/studies/{STUDY}/figures/history").json()
    assert answer["said"] and answer["figure"]["data"]
