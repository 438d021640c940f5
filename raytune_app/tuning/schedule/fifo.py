"""No schedule: every trial runs to its last epoch."""

from __future__ import annotations

from raytune_app.tuning.schedule.base import GO_ON, Judgement, Schedule


class Fifo(Schedule):
    """Lets every trial go on."""

    def report(self, trial: int, epoch: int, score: float) -> Judgement:
        return GO_ON
