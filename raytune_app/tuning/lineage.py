"""Where a trained state comes from: the values it was trained with, from its first epoch on, through every copy."""

from __future__ import annotations

from typing import Any

from raytune_app.tuning.view import StudyView

Schedule = list[tuple[int, dict[str, Any]]]
"""Values by the epoch after which they held, ascending; the first is (0, ...)."""


def schedule_of(view: StudyView, trial: int, epoch: int) -> Schedule:
    """The values that the state of `trial` after `epoch` was trained with; a copied state brings its source's past."""
    found: Schedule = []
    while True:
        stint = view.trials[trial].stints[view.trials[trial].stint_of(epoch)]
        found.append((stint.epoch, stint.config))
        if stint.epoch == 0 or stint.source is None:
            return _without_repeats(found[::-1])
        trial, epoch = stint.source, stint.source_epoch


def _without_repeats(schedule: Schedule) -> Schedule:
    return [
        (epoch, values)
        for (epoch, values), before in zip(schedule, [None, *schedule], strict=False)
        if not before or values != before[1]
    ]
