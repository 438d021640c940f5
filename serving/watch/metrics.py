"""The counts of every version as Prometheus reads them. Pure: snapshots in, the text of `GET /metrics` out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from raytune_app.rollout.latency import BOUNDS_S
from serving.watch.drift import THRESHOLD, Drift
from serving.watch.statistics import BATCH_BOUNDS, CONFIDENCE_BINS, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_EVERY = 2
"""Every second bound of the latency histogram is told: a bucket is a time series, and 1.56 times is close enough."""

_OF = ("model", "version")
_COUNTERS = (
    ("requests", "raytune_requests", "Requests that were answered."),
    ("failures", "raytune_errors", "Good requests that could not be answered."),
    ("examples", "raytune_examples", "Examples that were computed."),
    ("executions", "raytune_batches", "Batches that were computed."),
    ("queue_s", "raytune_queue_seconds", "Seconds that examples waited for their batch."),
    ("compute_s", "raytune_compute_seconds", "Seconds that batches were computed."),
)
_OUTCOMES = (
    ("raytune_feedback", "Answers whose true label came back.", ("right", "wrong")),
    ("raytune_shadow", "Answers of a shadow compared with the champion's.", ("agreed", "differed", "dropped")),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one version.

    Attributes:
        labels: of its classes, by index.
        role: champion, a rollout's mode (canary, ab, shadow), or idle.
        share: of the requests that name no version, those it answers or, as a shadow, sees.
        snapshot: its counts, as `serving.watch.statistics` has them.
        drifts: empty if the version has no training statistics.
    """

    model: str
    version: int
    labels: Sequence[str]
    role: str
    share: float
    snapshot: Snapshot
    drifts: Sequence[Drift]

    @property
    def of(self) -> list[str]:
        return [self.model, str(self.version)]


def exposition(versions: Iterable[Seen]) -> bytes:
    """Everything in Prometheus's text format, version 0.0.4."""
    return generate_latest(_Families(list(versions)))


class _Families(Collector):
    def __init__(self, versions: list[Seen]) -> None:
        self._versions = versions

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._histograms()
        yield from self._gauges()

    def _counters(self) -> Iterator[Metric]:
        for field, name, meaning in _COUNTERS:
            family = CounterMetricFamily(name, meaning, labels=_OF)
            for seen in self._versions:
                family.add_metric(seen.of, seen.snapshot[field])
            yield family
        for name, meaning, outcomes in _OUTCOMES:
            family = CounterMetricFamily(name, meaning, labels=(*_OF, "outcome"))
            for seen in self._versions:
                for outcome in outcomes:
                    family.add_metric([*seen.of, outcome], seen.snapshot[outcome])
            yield family
        family = CounterMetricFamily("raytune_classes", "Answers by the label answered.", labels=(*_OF, "label"))
        for seen in self._versions:
            for label, count in zip(seen.labels, seen.snapshot["classes"], strict=True):
                family.add_metric([*seen.of, label], count)
        yield family

    def _histograms(self) -> Iterator[Metric]:
        latency = HistogramMetricFamily("raytune_request_seconds", "Seconds a request took in the server.", labels=_OF)
        batches = HistogramMetricFamily("raytune_batch_size", "Examples computed at once.", labels=_OF)
        confidence = HistogramMetricFamily("raytune_confidence", "Largest probability of an answer.", labels=_OF)
        tenths = [number / CONFIDENCE_BINS for number in range(1, CONFIDENCE_BINS + 1)]
        for seen in self._versions:
            counts = seen.snapshot
            times = _buckets(BOUNDS_S, counts["latency"], LATENCY_EVERY)
            latency.add_metric(seen.of, times, counts["request_s"])
            batches.add_metric(seen.of, _buckets(BATCH_BOUNDS, counts["batches"]), counts["examples"])
            confidence.add_metric(seen.of, _buckets(tenths, [*counts["confidence"], 0]), counts["confidence_sum"])
        yield from (latency, batches, confidence)

    def _gauges(self) -> Iterator[Metric]:
        share = GaugeMetricFamily("raytune_traffic_share", "Share of the requests.", labels=(*_OF, "role"))
        last = GaugeMetricFamily("raytune_last_answer_timestamp_seconds", "Unix time; 0 is never.", labels=_OF)
        meaning = "Population stability index of recent requests against the version's training statistics."
        drift = GaugeMetricFamily("raytune_drift_psi", meaning, labels=(*_OF, "of"))
        samples = GaugeMetricFamily("raytune_drift_samples", "Recent examples counted.", labels=(*_OF, "of"))
        for seen in self._versions:
            share.add_metric([*seen.of, seen.role], seen.share)
            last.add_metric(seen.of, seen.snapshot["last_at"])
            for each in seen.drifts:
                samples.add_metric([*seen.of, each.of], each.samples)
                if each.psi is not None:
                    drift.add_metric([*seen.of, each.of], each.psi)
        threshold = GaugeMetricFamily("raytune_drift_threshold", "An index over this is a drift.", value=THRESHOLD)
        yield from (share, last, drift, samples, threshold)


def _buckets(bounds: Sequence[float], counts: Sequence[int], every: int = 1) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound; `counts` has one more, of what is over the last bound."""
    upto = list(accumulate(counts))
    told = [(str(float(f"{bound:.6g}")), float(upto[place])) for place, bound in enumerate(bounds)]
    return [*told[::every], ("+Inf", float(upto[-1]))]
