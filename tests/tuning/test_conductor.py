"""Decisions and their account, on hand-fed reports."""

from pathlib import Path
from typing import Any

import pytest

from raytune_app.spec import Experiment, parse
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.events import EventLog, read_events
from raytune_app.tuning.fault import Fault
from raytune_app.tuning.view import StudyView, TrialState
from tests.tuning.conftest import Report


class Bench:
    """A conductor with a clock that only moves by hand."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.storage, self.paths, self.now = Storage(str(folder)), StudyPaths("s"), 0.0
        self.conductor = Conductor(experiment, EventLog(self.storage, self.paths), clock=lambda: self.now)

    def start(self, *trials: int) -> None:
        for trial in trials:
            stint = self.conductor.next()
            assert stint is not None and (stint.trial, stint.epoch, stint.checkpoint) == (trial, 0, None)

    def view(self) -> StudyView:
        return StudyView.of(read_events(self.storage, self.paths))


def test_asha_stops_what_it_should_and_says_so(experiment: Experiment, report: Report, tmp_path: Path) -> None:
    bench = Bench(experiment, tmp_path)
    bench.start(0, 1, 2)
    assert bench.conductor.reported(0, report(1, 0.9)) is True
    assert bench.conductor.reported(1, report(1, 0.5)) is False
    assert bench.conductor.reported(2, report(1, 0.95)) is True
    assert bench.conductor.reported(2, report(2, 0.96)) is True
    bench.conductor.ended(1)
    trials = bench.view().trials
    assert trials[1].state is TrialState.STOPPED
    assert [(row["rung"], row["decision"]) for row in trials[2].epochs] == [(1, "continue"), (None, None)]
    assert trials[1].epochs[0]["decision"] == "stopped"


def test_for_a_loss_smaller_is_better(experiment: Experiment, report: Report, tmp_path: Path) -> None:
    content = experiment.to_dict() | {"objective": {"metric": "loss"}}
    bench = Bench(parse(content), tmp_path)
    bench.start(0, 1)
    assert bench.conductor.reported(0, report(1, 0.9, loss=0.2)) is True
    assert bench.conductor.reported(1, report(1, 0.9, loss=0.3)) is False


def test_the_last_epoch_finishes_a_trial(experiment: Experiment, report: Report, tmp_path: Path) -> None:
    bench = Bench(experiment, tmp_path)
    bench.start(0)
    assert bench.conductor.reported(0, report(9, 0.9), saves=True) is False
    bench.conductor.saved(0, 9, "tune/trial-00000/checkpoint_000008")
    bench.conductor.ended(0)
    assert bench.view().trials[0].state is TrialState.FINISHED


def test_a_trial_that_is_cut_off_before_its_last_epoch_is_saved_goes_on(
    experiment: Experiment, report: Report, tmp_path: Path
) -> None:
    bench = Bench(experiment, tmp_path)
    bench.start(0)
    assert bench.conductor.reported(0, report(8, 0.8), saves=True) is True
    bench.conductor.saved(0, 8, "c/8")
    assert bench.conductor.reported(0, report(9, 0.9), saves=True) is False
    bench.conductor.ended(0)
    assert bench.view().trials[0].state is TrialState.INTERRUPTED
    stint = bench.conductor.next()
    assert stint is not None and (stint.trial, stint.epoch, stint.checkpoint) == (0, 8, "c/8")


def test_a_study_paused_by_failures_takes_its_failed_trials_up_again(experiment: Experiment, tmp_path: Path) -> None:
    bench = Bench(experiment, tmp_path)
    for number in range(3):
        bench.start(number)
        bench.conductor.failed(number, Fault.CODE, "NameError: typo")
    assert bench.conductor.reason == "failures: 3 trials failed"
    assert bench.conductor.next() is None
    again = Bench(experiment, tmp_path)
    again.conductor.recall(read_events(bench.storage, bench.paths))
    again.conductor.readmit()
    stints = [again.conductor.next() for _ in range(4)]
    assert [stint.trial for stint in stints if stint] == [0, 1, 2, 3]


def test_a_larger_share_of_a_gpu_survives_a_resumption(experiment: Experiment, tmp_path: Path) -> None:
    bench = Bench(experiment, tmp_path)
    bench.conductor.assign(0.25)
    bench.start(0)
    bench.conductor.failed(0, Fault.GPU_MEMORY, "CUDA out of memory")
    stint = bench.conductor.next()
    assert stint is not None and (stint.trial, stint.gpus) == (0, 0.5)
    again = Bench(experiment, tmp_path)
    again.conductor.recall(read_events(bench.storage, bench.paths))
    stint = again.conductor.next()
    assert stint is not None and (stint.trial, stint.gpus) == (0, 0.5)


def test_divergence_ends_the_trial_and_not_the_study(experiment: Experiment, report: Report, tmp_path: Path) -> None:
    bench = Bench(experiment, tmp_path)
    bench.start(0, 1)
    assert bench.conductor.reported(0, report(1, 0.1, loss=float("nan"), diverged=True, finished=True)) is False
    bench.conductor.ended(0)
    assert bench.conductor.reported(1, report(1, 0.05)) is True, "a diverged trial must not stand in a rung"
    view = bench.view()
    assert view.trials[0].state is TrialState.DIVERGED
    assert view.trials[0].epochs[0]["loss"] is None
    assert bench.conductor.reason is None


@pytest.mark.parametrize(
    ("budget", "said"),
    [({"epochs": 2}, "2 epochs"), ({"wall_time_s": 10}, "10 s"), ({"target": 0.6}, "target: accuracy 0.6")],
)
def test_each_budget_ends_the_study_and_is_named(
    budget: dict[str, Any], said: str, experiment: Experiment, report: Report, tmp_path: Path
) -> None:
    bench = Bench(parse(experiment.to_dict() | {"budget": budget}), tmp_path)
    bench.start(0)
    assert bench.conductor.reported(0, report(1, 0.5)) is True
    bench.now = 11.0
    assert bench.conductor.reported(0, report(2, 0.7)) is False
    assert bench.conductor.reason is not None and said in bench.conductor.reason


def test_an_error_is_the_trials_state(experiment: Experiment, tmp_path: Path) -> None:
    bench = Bench(experiment, tmp_path)
    bench.start(0)
    bench.conductor.failed(0, Fault.CODE, "ValueError: no", "Traceback ...")
    trial = bench.view().trials[0]
    assert (trial.state, trial.error) == (TrialState.FAILED, "ValueError: no")


def test_the_study_does_not_end_before_an_announced_checkpoint_is_there(
    experiment: Experiment, report: Report, tmp_path: Path
) -> None:
    bench = Bench(parse(experiment.to_dict() | {"budget": {"target": 0.6}}), tmp_path)
    bench.start(0)
    assert bench.conductor.reported(0, report(1, 0.7), saves=True) is False
    assert bench.conductor.reason is not None
    bench.conductor.saved(0, 1, "tune/trial-00000/checkpoint_000000")
    bench.conductor.ended(0)
    assert bench.conductor.next() is None
    assert bench.conductor.may_stop
