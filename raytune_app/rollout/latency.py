"""How a process counts how long requests took: a histogram of fixed bounds, so that counts of many processes add up."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

BOUNDS_S = tuple(1e-4 * 1.25**step for step in range(62))
"""Upper bounds, 0.1 ms to about 80 s; what is over the last one is counted after it."""


def place(seconds: float) -> int:
    """The index in a histogram of `len(BOUNDS_S) + 1` counts."""
    return bisect_left(BOUNDS_S, seconds)


def quantile_s(histogram: Sequence[int], share: float) -> float:
    """The seconds that `share` of the requests stayed under, to within a bound (25 %); NaN for no requests."""
    wanted = share * sum(histogram)
    if not wanted:
        return float("nan")
    index = next(index for index, count in enumerate(accumulate(histogram)) if count >= wanted)
    return BOUNDS_S[min(index, len(BOUNDS_S) - 1)]


def over(histogram: Sequence[int], bound_s: float) -> int:
    """How many requests took longer than `bound_s`, rounded up to one of the bounds."""
    return sum(histogram[place(bound_s) + 1 :])
