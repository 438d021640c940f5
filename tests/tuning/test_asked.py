"""What people ask of a running study, and how a driver notices that it is not wanted any more."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from raytune_app.errors import StudyError
from raytune_app.spec import Experiment, parse
from raytune_app.storage import Storage
from raytune_app.tuning import beacon
from raytune_app.tuning.beacon import Beacon
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.events import EventLog, read_events
from raytune_app.tuning.folder import StudyFolder, create_study, take_up
from raytune_app.tuning.liveness import read_status
from raytune_app.tuning.mailbox import Command, Order, send
from raytune_app.tuning.view import StudyState, StudyView, TrialState
from raytune_app.tuning.waiting import Node
from tests.tuning.conftest import Report

NODE = Node("anna", "10.0.0.1", {"CPU": 2.0}, {"CPU": 0.0})
DEADLINE_S = 20.0


@pytest.fixture
def folder(storage: Storage, experiment: Experiment) -> StudyFolder:
    made = create_study(storage, experiment)
    take_up(made, "data")
    return made


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BEAT_S", "LISTEN_S"):
        monkeypatch.setattr(beacon, name, 0.02)


def _conductor(folder: StudyFolder, experiment: Experiment) -> Conductor:
    return Conductor(experiment, EventLog(folder.storage, folder.paths))


def _until(done: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


def _attend(listening: Beacon) -> None:
    listening.attend(2, lambda: ([(3, {"CPU": 1.0})], [NODE]))


@pytest.mark.parametrize(
    ("order", "state"), [(Order.STOP, StudyState.STOPPED), (Order.PAUSE, StudyState.PAUSED)], ids=str
)
def test_a_study_ends_when_somebody_asks(
    order: Order, state: StudyState, folder: StudyFolder, experiment: Experiment
) -> None:
    conductor = _conductor(folder, experiment)
    assert conductor.next() is not None

    def hears() -> bool:
        _attend(listening)
        return conductor.over

    with Beacon(folder, conductor) as listening:
        send(folder, Command(order, "ben"))
        _until(hears)
    assert (conductor.stop_state, conductor.was_asked) == (state, True)
    assert conductor.reason is not None and conductor.reason.endswith("by ben")
    (command,) = [event for event in read_events(folder.storage, folder.paths) if event["event"] == "command"]
    assert (command["order"], command["by"]) == (order, "ben")
    again = _conductor(folder, experiment)
    again.recall(read_events(folder.storage, folder.paths))
    assert again.next() is not None, "a study that was stopped goes on when it is resumed"


def test_the_sign_of_life_tells_who_waits_and_why(folder: StudyFolder, experiment: Experiment) -> None:
    with Beacon(folder, _conductor(folder, experiment)) as listening:
        _attend(listening)
        _until(lambda: (read_status(folder) or {}).get("waiting"))
        status = read_status(folder)
    assert status is not None
    told = "needs 1 CPU: anna has 0 of 2 CPU free"
    assert (status["slots"], status["waiting"]) == (2, [{"trial": 3, "asked": {"CPU": 1.0}, "why": told}])
    assert status["driver"] == folder.record()["driver"]


def test_a_driver_that_was_replaced_writes_nothing_more(folder: StudyFolder, experiment: Experiment) -> None:
    conductor = _conductor(folder, experiment)
    assert conductor.next() is not None
    before = folder.storage.read(folder.paths.events)

    def attend_for_ever() -> None:
        _until(lambda: _attend(listening))

    with Beacon(folder, conductor) as listening:
        folder.update(driver={"host": "elsewhere", "pid": 1, "started": 0.0})
        with pytest.raises(StudyError, match="worked on by process 1 of elsewhere"):
            attend_for_ever()
    with pytest.raises(StudyError):
        conductor.next()
    assert folder.storage.read(folder.paths.events) == before


def test_a_training_trial_that_nobody_wants_ends_at_its_next_report(
    folder: StudyFolder, experiment: Experiment, report: Report
) -> None:
    conductor = _conductor(folder, experiment)
    for _ in range(2):
        conductor.next()
    conductor.stop_trial(0)
    assert conductor.reported(1, report(1, 0.9)) is True
    assert conductor.reported(0, report(1, 0.99)) is False
    conductor.ended(0)
    conductor.stop_trial(0)  # it is over
    conductor.stop_trial(99)  # there is none
    states = {number: trial.state for number, trial in conductor.view.trials.items()}
    assert states == {0: TrialState.STOPPED, 1: TrialState.RUNNING}


def test_a_paused_trial_that_nobody_wants_is_never_promoted(
    folder: StudyFolder, experiment: Experiment, report: Report
) -> None:
    content = experiment.to_dict() | {"scheduler": {"name": "asha_promotion", "grace": 1, "reduction": 3}, "trials": 3}
    conductor = _conductor(folder, parse(content))
    for trial, accuracy in enumerate((0.9, 0.8, 0.7)):
        conductor.next()
        conductor.reported(trial, report(1, accuracy), saves=True)
        conductor.saved(trial, 1, f"tune/{trial}")
        conductor.ended(trial)
        if trial == 0:
            conductor.stop_trial(0)
    stint = conductor.next()
    assert stint is not None and stint.trial == 1
    again = _conductor(folder, parse(content))
    again.recall(read_events(folder.storage, folder.paths))
    assert again.view.trials[0].state is TrialState.STOPPED
    assert StudyView.of(read_events(folder.storage, folder.paths)).trials[0].state is TrialState.STOPPED


def test_a_paused_study_does_not_take_its_failed_trials_up_again(tmp_path: Path) -> None:
    from raytune_app.tuning.ending import paused_by_failures

    ends = {"event": "study_ended", "state": "paused"}
    assert paused_by_failures([{**ends, "reason": "failures: 3 trials failed"}])
    assert not paused_by_failures([{**ends, "reason": "paused by ben"}])
    assert not paused_by_failures([])
