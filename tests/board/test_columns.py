"""What a page is sent: all of a study in columns, and then only what has changed."""

from typing import Any

import pytest

from raytune_app.board.chronicle import OUTPUT_CHARACTERS, Chronicle
from raytune_app.board.columns import columns
from raytune_app.board.facts import trial
from raytune_app.errors import NotFoundError
from raytune_app.storage import Storage
from raytune_app.tuning.events import read_events
from raytune_app.tuning.view import Event
from tests.board.small import begin, experiment, make_study, population, train

EXPERIMENT = experiment()


def by_trial(content: dict[str, Any]) -> dict[int, Any]:
    """What the columns say of each trial, put together as a page does."""
    found, first = {}, 0
    for index, number in enumerate(content["trials"]["number"]):
        last = first + content["trials"]["epochs"][index]
        epochs = content["epochs"]
        found[number] = {
            "trial": {name: column[index] for name, column in content["trials"].items()},
            "config": {path: column[index] for path, column in content["config"].items()},
            "epoch": epochs["epoch"][first:last] if epochs["epoch"] else list(range(1, last - first + 1)),
            "values": {name: column[first:last] for name, column in epochs["values"].items()},
            "stints": [
                {name: column[at] for name, column in content["stints"].items()}
                for at, owner in enumerate(content["stints"]["trial"])
                if owner == number
            ],
            "rungs": [
                (at - first, content["rungs"]["rung"][place])
                for place, at in enumerate(content["rungs"]["index"])
                if first <= at < last
            ],
        }
        first = last
    return found


@pytest.fixture
def events(storage: Storage) -> list[Event]:
    folder, log = make_study(storage)
    population(log)
    train(log, 1, 2, 0.75)
    begin(log, 2)
    train(log, 2, 1, float("nan"))
    log.append("trial_ended", trial=2, state="diverged", error=None)
    log.append("of_a_newer_version", trial=0)
    return read_events(storage, folder.paths)


def test_columns_say_what_the_log_says(events: list[Event]) -> None:
    found = by_trial(columns(Chronicle(EXPERIMENT.objective, events), EXPERIMENT))
    assert [found[number]["trial"]["state"] for number in (0, 1, 2)] == ["running", "running", "diverged"]
    assert found[1]["values"] == {"accuracy": [0.6, 0.75], "loss": [0.4, 0.25]}
    assert found[2]["values"]["accuracy"] == [None] and found[2]["trial"]["best"] is None
    assert found[1]["rungs"] == [(0, 1)]
    assert [(one["source"], one["reason"], one["changes"]) for one in found[1]["stints"]] == [
        (0, "copied", {"train.lr": 0.02}),
        (0, "restarted", {}),
    ]
    assert found[1]["trial"]["train_s"] == 4.5 and found[1]["trial"]["faults"] == 1


@pytest.mark.parametrize("seen", range(0, 17, 3))
def test_what_changed_since_makes_an_earlier_page_the_same_as_a_fresh_one(events: list[Event], seen: int) -> None:
    chronicle = Chronicle(EXPERIMENT.objective, events[:seen])
    page = by_trial(columns(chronicle, EXPERIMENT)) if chronicle.view.trials else {}
    version = chronicle.version
    chronicle.take(events[seen:])
    page |= by_trial(columns(chronicle, EXPERIMENT, chronicle.since(version)))
    whole = by_trial(columns(Chronicle(EXPERIMENT.objective, events), EXPERIMENT))
    assert {number: (one["trial"], one["values"]) for number, one in page.items()} == {
        number: (one["trial"], one["values"]) for number, one in whole.items()
    }


def test_only_trials_that_changed_are_sent_again(events: list[Event]) -> None:
    chronicle = Chronicle(EXPERIMENT.objective, events)
    seen = chronicle.version
    assert chronicle.since(seen) == []
    chronicle.take([{**events[-1], "event": "trial_ended", "trial": 0, "state": "stopped", "error": None}])
    assert [one.number for one in chronicle.since(seen)] == [0]


def test_epochs_are_numbered_only_where_they_are_not_one_two_three(storage: Storage) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    train(log, 0, 1, 0.5)
    assert (
        columns(Chronicle(EXPERIMENT.objective, read_events(storage, folder.paths)), EXPERIMENT)["epochs"]["epoch"]
        is None
    )
    train(log, 0, 3, 0.6)
    found = columns(Chronicle(EXPERIMENT.objective, read_events(storage, folder.paths)), EXPERIMENT)
    assert found["epochs"]["epoch"] == [1, 3]


def test_a_slot_is_a_process_and_an_older_log_has_none(storage: Storage, events: list[Event]) -> None:
    found = columns(Chronicle(EXPERIMENT.objective, events), EXPERIMENT)
    assert found["slots"] == [["here", 40], ["here", 41]]
    assert found["epochs"]["slot"] == [0, 1, -1, -1]
    older = [{key: value for key, value in event.items() if key not in {"host", "pid"}} for event in events]
    assert columns(Chronicle(EXPERIMENT.objective, older), EXPERIMENT)["epochs"]["slot"] is None


def test_a_trial_in_full_has_its_stints_and_its_output(events: list[Event]) -> None:
    found = trial(Chronicle(EXPERIMENT.objective, events), 1)
    assert [stint["reason"] for stint in found["stints"]] == ["started", "copied", "restarted"]
    assert found["output"] == [{"epoch": 2, "text": "<b>hello</b>\n"}]
    assert found["epochs"][1]["accuracy"] == 0.75 and "time" not in found["epochs"][1]
    with pytest.raises(NotFoundError):
        trial(Chronicle(EXPERIMENT.objective, events), 7)


def test_of_much_output_the_end_is_kept(storage: Storage) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    for epoch in range(1, 11):
        log.append("output", trial=0, epoch=epoch, text=str(epoch % 10) * 16_000)
    kept = Chronicle(EXPERIMENT.objective, read_events(storage, folder.paths)).times[0].output
    assert [epoch for epoch, _ in kept] == [7, 8, 9, 10]
    assert sum(len(text) for _, text in kept) <= OUTPUT_CHARACTERS
