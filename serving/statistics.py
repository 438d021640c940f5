"""What one version did in one process: counts and times, cheap enough to be taken of every request.

A snapshot is plain JSON values, and snapshots of several processes add up. Belongs to one event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from serving.protocol import Probabilities

LATENCY_BOUNDS_S = tuple(1e-4 * 1.25**step for step in range(62))
"""Upper bounds of the latency histogram, 0.1 ms to about 80 s; what is over the last one is counted after it."""
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
CONFIDENCE_BINS = 10

Snapshot = dict[str, Any]


class Statistics:
    """Counts of one version.

    Attributes (each in `snapshot` under its name):
        requests: answered; failures: those it could not answer though the request was good.
        examples: inferred; executions: batches computed for them.
        request_s, queue_s, compute_s: summed seconds: of whole requests; of examples waiting; of batches computed.
        latency: answered requests by LATENCY_BOUNDS_S; batches: executions by BATCH_BOUNDS.
        classes: answers by class; confidence: answers by tenths of the largest probability.
        right, wrong: answers whose true label came back.
        agreed, differed: as a shadow, answers equal to the champion's and others; dropped: not looked at, too busy.
        last_at: Unix time of the last answer, 0 if there was none.
    """

    def __init__(self, classes: int) -> None:
        self.requests = self.failures = self.examples = self.executions = 0
        self.request_s = self.queue_s = self.compute_s = self.last_at = 0.0
        self.right = self.wrong = self.agreed = self.differed = self.dropped = 0
        self.latency = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.batches = [0] * (len(BATCH_BOUNDS) + 1)
        self.classes = [0] * classes
        self.confidence = [0] * CONFIDENCE_BINS

    def executed(self, examples: int, queue_s: float, compute_s: float) -> None:
        """A batch was computed; `queue_s` is the sum over its examples."""
        self.executions += 1
        self.examples += examples
        self.queue_s += queue_s
        self.compute_s += compute_s
        self.batches[bisect_left(BATCH_BOUNDS, examples)] += 1

    def answered(self, probabilities: Probabilities, request_s: float, now: float) -> None:
        """A request was answered with these [N, K]."""
        self.requests += 1
        self.request_s += request_s
        self.last_at = now
        self.latency[bisect_left(LATENCY_BOUNDS_S, request_s)] += 1
        if len(probabilities) == 1:
            row = probabilities[0]
            index = int(row.argmax())
            self.classes[index] += 1
            self.confidence[_bin(float(row[index]))] += 1
        else:
            for index in probabilities.argmax(axis=1).tolist():
                self.classes[index] += 1
            for confidence in probabilities.max(axis=1).tolist():
                self.confidence[_bin(confidence)] += 1

    def snapshot(self) -> Snapshot:
        """Every count as JSON values."""
        return {name: list(value) if isinstance(value, list) else value for name, value in vars(self).items()}


def added(snapshots: Iterable[Mapping[str, Any]]) -> Snapshot:
    """The sum of snapshots of one version; `last_at` is the latest. Empty for none."""
    total: Snapshot = {}
    for snapshot in snapshots:
        for name, value in snapshot.items():
            before = total.get(name)
            if before is None:
                total[name] = value
            elif name == "last_at":
                total[name] = max(before, value)
            elif isinstance(value, list):
                total[name] = [a + b for a, b in zip(before, value, strict=True)]
            else:
                total[name] = before + value
    return total


def quantile_s(latency: list[int], share: float) -> float:
    """The latency in seconds that `share` of the requests stayed under, to within a bound (25 %); NaN for none."""
    total = sum(latency)
    if not total:
        return float("nan")
    place = int(np.searchsorted(np.cumsum(latency), share * total))
    return LATENCY_BOUNDS_S[min(place, len(LATENCY_BOUNDS_S) - 1)]


def over_s(latency: list[int], bound_s: float) -> int:
    """How many requests took longer than `bound_s`, rounded up to a bound of the histogram."""
    return sum(latency[bisect_left(LATENCY_BOUNDS_S, bound_s) + 1 :])


def _bin(confidence: float) -> int:
    return min(int(confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)
