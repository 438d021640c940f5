"""Which checkpoints go: never one that a trial may go on from, never the best."""

from typing import Any

import pytest

from raytune_app.spec import Experiment, parse
from raytune_app.tuning.keeper import outdated, outranked, total_mb
from raytune_app.tuning.view import CheckpointView, StintView, StudyView, TrialState, TrialView


def _experiment(**changes: Any) -> Experiment:
    return parse({"name": "k", "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"}, **changes})


def _trial(number: int, scores: list[float], state: TrialState = TrialState.FINISHED, mb: float = 1.0) -> TrialView:
    return TrialView(
        number,
        {},
        state,
        epochs=[{"epoch": epoch, "accuracy": score} for epoch, score in enumerate(scores, 1)],
        checkpoints={epoch: CheckpointView(f"c/{number}/{epoch}", mb) for epoch in range(1, len(scores) + 1)},
        stints=[StintView(0, None, 0, {}, "started")],
    )


def _view(*trials: TrialView) -> StudyView:
    return StudyView(trials={trial.number: trial for trial in trials})


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.PAUSED, TrialState.INTERRUPTED])
def test_a_living_trial_keeps_its_best_and_its_last(state: TrialState) -> None:
    trial = _trial(0, [0.1, 0.9, 0.5, 0.6], state)
    assert list(outdated(trial, _experiment().objective)) == [(0, 1), (0, 3)]


def test_an_ended_trial_keeps_its_best_alone() -> None:
    assert list(outdated(_trial(0, [0.1, 0.9, 0.5]), _experiment().objective)) == [(0, 1), (0, 3)]


def test_for_a_loss_the_best_is_the_smallest() -> None:
    objective = _experiment(objective={"metric": "loss"}).objective
    trial = _trial(0, [0.0, 0.0])
    trial.epochs = [{"epoch": 1, "loss": 0.2}, {"epoch": 2, "loss": 0.3}]
    assert list(outdated(trial, objective)) == [(0, 2)]


def test_only_the_best_ended_trials_keep_any_and_living_ones_are_left_alone() -> None:
    view = _view(_trial(0, [0.5]), _trial(1, [0.9]), _trial(2, [0.7]), _trial(3, [0.1], TrialState.PAUSED))
    assert outranked(view, _experiment(keep={"top_k": 2})) == [(0, 1)]


def test_a_disk_budget_takes_the_worst_first_and_never_the_best_of_all() -> None:
    view = _view(_trial(0, [0.5]), _trial(1, [0.9]), _trial(2, [0.7]))
    assert outranked(view, _experiment(keep={"disk_mb": 2.5})) == [(0, 1)]
    assert outranked(view, _experiment(keep={"disk_mb": 0.1})) == [(0, 1), (2, 1)]
    assert total_mb(view) == 3.0


def test_of_two_objectives_all_may_be_in_the_pareto_set() -> None:
    experiment = _experiment(objective=[{"metric": "accuracy"}, {"metric": "parameters"}], keep={"top_k": 1})
    assert outranked(_view(_trial(0, [0.5]), _trial(1, [0.9])), experiment) == []
