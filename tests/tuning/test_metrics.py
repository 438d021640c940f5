"""What a study's events come to as metrics; Ray's own part is tested in tests/e2e/test_dashboard.py."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raytune_app.spec import Experiment
from raytune_app.tuning import metrics
from raytune_app.tuning.metrics import BEST, EPOCH_SECONDS, EPOCHS, FAULTS, MEASURES, PLANNED, TRIALS, Kind, Measure
from raytune_app.tuning.view import Event, StudyView, TrialState
from tests.tuning.world import KilledError, World

DEADLINE_S = 30.0
Series = tuple[str, tuple[str, ...]]


class Sink:
    """In the place of Ray's gauge or counter: what it was told."""

    def __init__(self, measure: Measure, told: dict[Series, float]) -> None:
        self._name, self._told, self.calls = measure.name, told, 0

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.calls += 1
        self._told[self._name, tuple(tags.values())] = value

    def inc(self, value: float) -> None:
        self._told[self._name, ()] = self._told.get((self._name, ()), 0) + value


@contextmanager
def _connected(monkeypatch: pytest.MonkeyPatch, told: dict[Series, float]) -> Iterator[dict[Measure, Sink]]:
    sinks = {measure: Sink(measure, told) for measure in MEASURES}
    with monkeypatch.context() as patched:
        patched.setattr("ray.is_initialized", lambda: True)
        patched.setattr(metrics, "_sink", lambda measure, _: sinks[measure])
        yield sinks


def _events(experiment: Experiment, folder: Path) -> tuple[list[Event], list[Event]]:
    """A study that was killed, and what was added when it went on."""
    world = World(experiment, folder, slots=2)
    with pytest.raises(KilledError):
        world.run(dies_at=25)
    past = world.events()
    world.run()
    return past, world.events()[len(past) :]


def test_at_every_event_the_gauges_say_what_the_log_says(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past, new = _events(experiment, tmp_path)
    view, told = StudyView.of(past), dict[Series, float]()
    with _connected(monkeypatch, told), metrics.StudyMetrics("s", experiment, past) as observer:
        for event in new:
            observer(event)
            view.apply(event)
            states = Counter(trial.state for trial in view.trials.values())
            assert [told[TRIALS.name, (state.value,)] for state in TrialState] == [
                states[state] for state in TrialState
            ]
            assert told[PLANNED.name, ()] == view.planned_trials
    scores = [row["accuracy"] for row in past + new if row["event"] == "epoch"]
    assert len(view.trials) == 6
    assert told[BEST.name, ("accuracy",)] == max(scores)


def test_counters_count_what_this_driver_saw(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past, new = _events(experiment, tmp_path)
    trained = [event for event in new if event["event"] == "epoch"]
    told = dict[Series, float]()
    with _connected(monkeypatch, told), metrics.StudyMetrics("s", experiment, past) as observer:
        for event in new:
            observer(event)
    assert told[EPOCHS.name, ()] == len(trained) > 0
    assert told[EPOCH_SECONDS.name, ()] == sum(event["epoch_s"] for event in trained)


def test_a_process_that_died_is_a_fault_and_a_lost_node_is_not(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = dict[Series, float]()
    with _connected(monkeypatch, told), metrics.StudyMetrics("s", experiment) as observer:
        observer({"event": "trial_started", "trial": 0, "config": {}, "role": "search"})
        observer({"event": "trial_interrupted", "trial": 0, "error": "killed", "fault": True})
        observer({"event": "trial_interrupted", "trial": 0, "error": None, "fault": False})
    assert told[FAULTS.name, ()] == 1


def test_a_thousand_trials_are_no_more_series_than_one(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    told, sizes = dict[Series, float](), []
    with _connected(monkeypatch, told), metrics.StudyMetrics("s", experiment) as observer:
        observer({"event": "study_started", "study": "s", "trials": 1000, "epochs": 1})
        for trial in range(1000):
            observer({"event": "trial_started", "trial": trial, "config": {}, "role": "search"})
            observer({"event": "epoch", "trial": trial, "epoch": 1, "accuracy": 0.5, "epoch_s": 1.0})
            observer({"event": "trial_ended", "trial": trial, "state": "finished", "error": None})
            sizes.append(len(told))
    assert sizes[0] == sizes[-1] == len(MEASURES) + len(TrialState) - 1
    assert told[TRIALS.name, ("finished",)] == 1000


def test_gauges_are_repeated_while_the_study_runs_and_never_after(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray forgets a gauge that is not set again, and what has ended should be forgotten."""
    monkeypatch.setattr(metrics, "REFRESH_S", 0.01)
    with _connected(monkeypatch, {}) as sinks:
        with metrics.StudyMetrics("s", experiment) as observer:
            observer({"event": "study_started", "study": "s", "trials": 1, "epochs": 1})
            deadline = time.monotonic() + DEADLINE_S
            while sinks[PLANNED].calls < 4 and time.monotonic() < deadline:
                time.sleep(0.01)
        assert sinks[PLANNED].calls >= 4
        assert not observer._thread.is_alive()


def test_without_ray_nothing_is_recorded_and_nothing_fails(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr(metrics, "_sink", None)
    with metrics.StudyMetrics("s", experiment) as observer:
        observer({"event": "study_started", "study": "s", "trials": 1, "epochs": 1})
        observer({"event": "a kind of a newer version"})


def test_names_say_whose_they_are_and_no_label_is_a_trial() -> None:
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
    for measure in MEASURES:
        assert measure.name.startswith("raytune_")
        assert not {"trial", "pid", "epoch"} & set(measure.tags)
        assert measure.exported.endswith("_total") == (measure.kind is Kind.COUNTER)
