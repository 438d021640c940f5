"""Training again as a population did, fed by hand."""

from collections.abc import Callable

from raytune_app.tuning.schedule.base import GO_ON, Judgement, Resumption, Verdict
from raytune_app.tuning.schedule.replay import Replay

Train = Callable[..., None]


def test_values_change_after_the_epochs_of_the_plan_and_the_state_stays_the_trials_own(train: Train) -> None:
    schedule = Replay([(2, {"train.lr": 0.1}), (3, {"train.lr": 0.2})])
    schedule.started(7, {})
    train(schedule, 7, {1: 0.5, 2: 0.5})
    (second,) = schedule.resumptions(more=False)
    assert second == Resumption(7, 7, "replayed", {"train.lr": 0.1})
    schedule.resumed(second)
    train(schedule, 7, {3: 0.5})
    (third,) = schedule.resumptions(more=False)
    assert third.values == {"train.lr": 0.2}
    schedule.resumed(third)
    assert schedule.report(7, 4, 0.5) == GO_ON
    assert schedule.resumptions(more=False) == []


def test_an_epoch_that_is_trained_again_pauses_only_if_it_did_not_go_on_from_it() -> None:
    schedule = Replay([(2, {"train.lr": 0.1})])
    schedule.started(0, {})
    for _ in range(2):  # the process was lost before its state was safe
        assert schedule.report(0, 2, 0.5) == Judgement(Verdict.PAUSE, rung=2)
    schedule.paused(0)
    schedule.resumed(schedule.resumptions(more=False)[0])
    assert schedule.report(0, 2, 0.5) == GO_ON
