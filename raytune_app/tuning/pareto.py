"""Trials with two objectives: those that no other trial beats, and which of them wins."""

from __future__ import annotations

import math
from collections.abc import Sequence

Scores = Sequence[Sequence[float]]
"""One entry a trial, one finite score an objective; larger is better."""
_ROUNDING = 1e-9
"""Relative: 0.95 - 0.94 is a little above 0.01."""


def pareto_front(scores: Scores) -> list[int]:
    """Indices, ascending, of the trials that no other dominates: is as good in every objective and better in one.

    Trials with equal scores are all in or all out.
    """
    assert all(math.isfinite(score) for trial in scores for score in trial)
    front: list[int] = []
    for index in sorted(range(len(scores)), key=lambda index: tuple(scores[index]), reverse=True):
        if not any(_dominates(scores[member], scores[index]) for member in front):
            front.append(index)
    return sorted(front)


def knee(scores: Scores) -> int:
    """Index of the member of the front that is nearest to the ideal point, the first of several.

    Each objective is scaled to [0, 1] over the front; the ideal point, the best of each, is at (1, 1). An objective
    that is the same for the whole front does not count.
    """
    assert scores
    front = pareto_front(scores)
    columns = list(zip(*(scores[index] for index in front), strict=True))
    best, span = [max(column) for column in columns], [max(column) - min(column) for column in columns]

    def distance(index: int) -> float:
        lacks = zip(best, scores[index], span, strict=True)
        return math.hypot(*((top - score) / width for top, score, width in lacks if width))

    return min(front, key=distance)


def pick(scores: Scores, within: float | None) -> int:
    """Index of the winner by the rule of `PickSpec`; of two objectives.

    Args:
        scores: not empty.
        within: how far the first objective may be from the best; among such trials the best second objective wins.
            None: the knee.
    """
    if within is None:
        return knee(scores)
    worst = max(first for first, _ in scores) - within * (1 + _ROUNDING)
    near = [index for index in pareto_front(scores) if scores[index][0] >= worst]
    return max(near, key=lambda index: (scores[index][1], -index))


def hypervolume(scores: Scores, reference: Sequence[float]) -> float:
    """Area dominated by the trials and dominating `reference`, in the product of the units of two objectives.

    A trial that is not better than the reference in both objectives adds nothing.
    """
    floor, left = reference[1], reference[0]
    area = 0.0
    for first, second in sorted(map(tuple, scores), reverse=True):
        if first > left and second > floor:
            area += (first - left) * (second - floor)
            floor = second
    return area


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    at_least = all(mine >= its for mine, its in zip(one, other, strict=True))
    return at_least and any(mine > its for mine, its in zip(one, other, strict=True))
