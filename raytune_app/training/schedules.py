"""Learning-rate schedules as pure functions of progress, so that a resumed run needs no schedule state."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine", "one_cycle"]

_WARM_UP = 0.3
_START = 1 / 25
_END = _START / 1e4


def lr_factor(schedule: Schedule, step: int, steps: int) -> float:
    """What to multiply the learning rate with.

    Args:
        schedule: `constant`; `cosine` from 1 towards 0 (Loshchilov and Hutter 2017); `one_cycle` from 1/25 up to 1 in
            the first 30 %, then down to 1/250000, both by cosine (Smith and Topin 2019, with torch's defaults).
        step: counted from 0.
        steps: of the whole training.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return _cosine(1.0, 0.0, step / steps)
    peak = max(_WARM_UP * steps - 1, 0.0)
    if step <= peak:
        return _cosine(_START, 1.0, step / peak if peak else 1.0)
    return _cosine(1.0, _END, (step - peak) / max(steps - 1 - peak, 1e-9))


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
