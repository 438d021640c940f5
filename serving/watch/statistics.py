"""What one version did in one process: counts and times, cheap enough to be taken of every request.

A snapshot is plain JSON values, and snapshots of several processes add up. Belongs to one event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from raytune_app.rollout.latency import BOUNDS_S, place
from serving.wire.protocol import Probabilities

if TYPE_CHECKING:
    from serving.watch.drift import Window

BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
CONFIDENCE_BINS = 10

Snapshot = dict[str, Any]


class Statistics:
    """Counts of one version.

    Attributes (each in `snapshot` under its name):
        requests: answered; failures: those it could not answer though the request was good.
        examples: inferred; executions: batches computed for them.
        request_s, failure_s, queue_s, compute_s: summed seconds: of whole requests, answered and not; of examples
            waiting; of batches computed.
        latency: answered requests by `raytune_app.rollout.latency`; batches: executions by BATCH_BOUNDS.
        classes: answers by class; confidence: answers by tenths of the largest probability.
        confidence_sum: the largest probabilities added up.
        right, wrong: answers whose true label came back.
        agreed, differed: as a shadow, answers equal to the champion's and others; dropped: not looked at, too busy.
        last_at: Unix time of the last answer, 0 if there was none.
        window: recent examples, told in `snapshot` by its own names; None for a version without training statistics.
    """

    def __init__(self, classes: int) -> None:
        self.requests = self.failures = self.examples = self.executions = 0
        self.request_s = self.failure_s = self.queue_s = self.compute_s = self.confidence_sum = self.last_at = 0.0
        self.right = self.wrong = self.agreed = self.differed = self.dropped = 0
        self.latency = [0] * (len(BOUNDS_S) + 1)
        self.batches = [0] * (len(BATCH_BOUNDS) + 1)
        self.classes = [0] * classes
        self.confidence = [0] * CONFIDENCE_BINS
        self.window: Window | None = None

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
        self.latency[place(request_s)] += 1
        if len(probabilities) == 1:
            row = probabilities[0]
            index = int(row.argmax())
            confidence = float(row[index])
            self.classes[index] += 1
            self.confidence[_bin(confidence)] += 1
            self.confidence_sum += confidence
        else:
            for index in probabilities.argmax(axis=1).tolist():
                self.classes[index] += 1
            for confidence in probabilities.max(axis=1).tolist():
                self.confidence[_bin(confidence)] += 1
                self.confidence_sum += confidence

    def failed(self, request_s: float) -> None:
        """A good request could not be answered."""
        self.failures += 1
        self.failure_s += request_s

    def abandoned(self, request_s: float, now: float) -> None:
        """Nobody waited for this answer any longer: counted as a request that took at least so long."""
        self.requests += 1
        self.request_s += request_s
        self.last_at = now
        self.latency[place(request_s)] += 1

    def told(self, *, right: bool) -> None:
        """The true label of an answer came back."""
        if right:
            self.right += 1
        else:
            self.wrong += 1

    def snapshot(self) -> Snapshot:
        """Every count as JSON values."""
        values = vars(self).copy()
        window = values.pop("window")
        own = {name: list(value) if isinstance(value, list) else value for name, value in values.items()}
        return own if window is None else {**own, **window.snapshot()}


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


def _bin(confidence: float) -> int:
    return min(int(confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)
