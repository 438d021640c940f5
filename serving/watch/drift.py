"""Whether what is asked, and what is answered, is still like what the version was trained on.

Beside every version in memory a `Window` counts, over its recent examples, what they look like and which class they
got; the counts of several processes add up like all others. `drifts` compares them with the version's own statistics.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from raytune_app.data.reference import Reference
from serving.watch.statistics import Snapshot
from serving.wire.protocol import Probabilities

THRESHOLD = 0.2
"""A population stability index over this is a drift. Credit scoring, where the index comes from, calls less than 0.1
no change and more than 0.25 a large one (Siddiqi, Credit Risk Scorecards, 2006); this is between."""

NOISE = THRESHOLD / 4
"""Nothing is said while chance alone is expected to give more than this."""

MIN_SAMPLES = 200
"""And nothing of fewer examples than this."""

DENSE = 1000
"""Examples in the counts up to which every request is looked at, and after which one of EVERY."""

EVERY = 4
WINDOW = 2500
"""Examples after which every count is halved, about 10,000 requests: what is a few windows old no longer matters."""

MAX_SAMPLED = 16
"""Examples of one request that are looked at, drawn by chance."""

MAX_BINS = 20
"""Classes that are compared one by one; the rarer ones count as one."""

PREDICTIONS = "predictions"
_RECENT = "recent_"

Look = Callable[[Any], Sequence[float]]
"""An example's features, in the order of the reference."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a version knows of the data it was trained on, and how to look at an example of a request."""

    reference: Reference
    look: Look


class Drift(NamedTuple):
    """How far one distribution is from the version's own.

    Attributes:
        of: `predictions`, or the name of a feature of the inputs.
        psi: the population stability index; None while there are too few examples.
        samples: recent examples, the older ones at a lower weight.
        needed: samples it takes; None: the training statistics themselves are of too few examples.
    """

    of: str
    psi: float | None
    samples: float
    needed: int | None

    @property
    def drifted(self) -> bool | None:
        """None: nothing can be said."""
        return None if self.psi is None else self.psi > THRESHOLD


class Window:
    """Counts of one version's recent examples in one process. Belongs to one event loop."""

    def __init__(self, expected: Expected) -> None:
        self._look = expected.look
        self._names = tuple(expected.reference.features)
        self._edges = tuple(feature.edges for feature in expected.reference.features.values())
        self._classes = [0.0] * len(expected.reference.classes)
        self._counts = [[0.0] * (len(edges) + 1) for edges in self._edges]
        self._total = 0

    def saw(self, batch: Any, probabilities: Probabilities) -> None:
        """Examples of a request, and their probabilities [N, K]."""
        if self._total > DENSE and random.random() * EVERY > 1:
            return
        count = len(probabilities)
        rows: Sequence[int] = (0,) if count == 1 else range(count)
        if count > MAX_SAMPLED:
            rows = random.sample(rows, MAX_SAMPLED)
        for row in rows:
            self._classes[int(probabilities[row].argmax())] += 1
            for counts, edges, value in zip(self._counts, self._edges, self._look(batch[row]), strict=True):
                counts[bisect_left(edges, value)] += 1
        self._total += len(rows)
        if self._total >= WINDOW:
            self._halve()

    def _halve(self) -> None:
        self._total //= 2
        for counts in (self._classes, *self._counts):
            counts[:] = [count / 2 for count in counts]

    def snapshot(self) -> Snapshot:
        """The counts by name, as JSON values."""
        counts = zip((PREDICTIONS, *self._names), (self._classes, *self._counts), strict=True)
        return {_RECENT + name: list(values) for name, values in counts}


def drifts(reference: Reference, snapshot: Mapping[str, Any]) -> list[Drift]:
    """The drift of the predictions and of each feature.

    Args:
        snapshot: holds the counts of a `Window`, or of several added up; none if nothing was counted.
    """

    def seen(name: str, expected: Sequence[float]) -> Sequence[float]:
        return snapshot.get(_RECENT + name) or [0.0] * len(expected)

    predictions = _drift(PREDICTIONS, *_fewer(reference.classes, seen(PREDICTIONS, reference.classes)))
    inputs = [_drift(name, each.counts, seen(name, each.counts)) for name, each in reference.features.items()]
    return [predictions, *inputs]


def psi(expected: Sequence[float], seen: Sequence[float]) -> float:
    """The population stability index of two histograms over the same bins, in nats; 0 for equal shares.

    It is the sum over the bins of (q - p) ln(q / p). Every bin is counted half an example more on both sides, so that
    an empty one is no infinity.
    """
    bins = len(expected)
    below, above = sum(expected) + bins / 2, sum(seen) + bins / 2
    shares = [((p + 0.5) / below, (q + 0.5) / above) for p, q in zip(expected, seen, strict=True)]
    return math.fsum((q - p) * math.log(q / p) for p, q in shares)


def _drift(name: str, expected: Sequence[float], seen: Sequence[float]) -> Drift:
    samples, needed = sum(seen), _needed(len(expected), sum(expected))
    enough = needed is not None and samples >= needed
    return Drift(name, psi(expected, seen) if enough else None, samples, needed)


def _needed(bins: int, known: float) -> int | None:
    """Samples after which chance alone is expected to give at most NOISE.

    Without a drift the index times n m / (n + m) is chi-squared with one degree of freedom fewer than bins (Yurdakul,
    Statistical Properties of Population Stability Index, 2018).
    """
    rest = NOISE / max(bins - 1, 1) - (1 / known if known else math.inf)
    if rest <= 0 or known < MIN_SAMPLES:
        return None
    needed = max(MIN_SAMPLES, math.ceil(1 / rest))
    return needed if needed <= WINDOW // 2 else None  # more are never in the counts for long


def _fewer(expected: Sequence[float], seen: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Both by class, the most frequent of `expected` first and the rarer ones together."""
    if len(expected) <= MAX_BINS:
        return expected, seen
    order = sorted(range(len(expected)), key=lambda index: -expected[index])

    def together(counts: Sequence[float]) -> list[float]:
        return [*(counts[i] for i in order[: MAX_BINS - 1]), sum(counts[i] for i in order[MAX_BINS - 1 :])]

    return together(expected), together(seen)
