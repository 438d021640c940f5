"""The winner is the best checkpointed epoch; score and checkpoint belong together."""

from typing import Any

from raytune_app.spec import parse
from raytune_app.spec.grammar import Metric
from raytune_app.tuning.view import CheckpointView, StintView, StudyView, TrialState, TrialView
from raytune_app.tuning.winner import choose


def _trial(
    number: int, scores: list[float | None], saved: list[int], state: TrialState = TrialState.FINISHED
) -> TrialView:
    rows: list[dict[str, Any]] = [
        {"epoch": epoch, "accuracy": score, "loss": score} for epoch, score in enumerate(scores, 1)
    ]
    config = {"train.lr": 0.1}
    return TrialView(
        number,
        config,
        state,
        epochs=rows,
        checkpoints={epoch: CheckpointView(f"c/{number}/{epoch}") for epoch in saved},
        stints=[StintView(0, None, 0, config, "started")],
    )


def _choose(*trials: TrialView, metric: Metric = Metric.ACCURACY) -> tuple[int, int] | None:
    content = {"name": "s", "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"}}
    experiment = parse({**content, "objective": {"metric": metric}})
    winner = choose(StudyView(trials={trial.number: trial for trial in trials}), experiment)
    return (winner.trial, winner.epoch) if winner else None


def test_an_epoch_without_checkpoint_cannot_win() -> None:
    assert _choose(_trial(0, [0.7, 0.99], [1]), _trial(1, [0.8], [1])) == (1, 1)


def test_the_best_epoch_wins_not_the_last() -> None:
    assert _choose(_trial(0, [0.9, 0.95, 0.7], [1, 2, 3])) == (0, 2)


def test_a_loss_is_minimised() -> None:
    assert _choose(_trial(0, [0.9, 0.2], [1, 2]), _trial(1, [0.3], [1]), metric=Metric.LOSS) == (0, 2)


def test_a_diverged_trial_never_wins() -> None:
    assert _choose(_trial(0, [0.99], [1], TrialState.DIVERGED), _trial(1, [0.5], [1])) == (1, 1)


def test_a_score_that_is_missing_never_wins() -> None:
    assert _choose(_trial(0, [None], [1]), _trial(1, [0.1], [1])) == (1, 1)


def test_of_equals_the_earliest_trial_and_epoch_win() -> None:
    assert _choose(_trial(1, [0.9, 0.9], [1, 2]), _trial(0, [0.9], [1])) == (0, 1)


def test_without_a_checkpoint_there_is_no_winner() -> None:
    assert _choose(_trial(0, [0.9], [])) is None
