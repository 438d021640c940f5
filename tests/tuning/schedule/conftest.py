"""Feeds a schedule by hand: whole stints in one line."""

from collections.abc import Callable, Mapping

import pytest

from raytune_app.tuning.schedule.base import Resumption, Schedule, Verdict

Train = Callable[..., None]


@pytest.fixture
def train() -> Train:
    """`train(schedule, trial, {epoch: score})`: report these epochs, then pause if told to."""

    def feed(schedule: Schedule, trial: int, scores: Mapping[int, float]) -> None:
        last = max(scores)
        for epoch, score in scores.items():
            verdict = schedule.report(trial, epoch, score).verdict
            assert verdict is Verdict.CONTINUE or epoch == last
            if verdict is Verdict.PAUSE:
                schedule.paused(trial)

    return feed


@pytest.fixture
def resume() -> Callable[..., Resumption]:
    """`resume(schedule, more=True)`: take the most urgent resumption."""

    def take(schedule: Schedule, *, more: bool = True) -> Resumption:
        first = schedule.resumptions(more=more)[0]
        schedule.resumed(first)
        return first

    return take
