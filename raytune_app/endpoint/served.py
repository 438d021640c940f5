"""What an endpoint is doing, from two readings of its metrics: a row for each version. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

_PREFIX = "raytune_"
Buckets = Mapping[float, float]
"""Cumulative counts by upper bound."""


@dataclass(slots=True)
class Counts:
    """One version's counts since its start.

    Attributes:
        role, share: what it is in a rollout, and the share of the requests it answers or, as a shadow, sees.
        values: by the metric's name without prefix.
        latency: requests by seconds.
        drift: the index by what it is of.
        outcomes: by shadow's and feedback's outcome.
    """

    role: str = "idle"
    share: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    latency: dict[float, float] = field(default_factory=dict)
    drift: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """Every version's counts at one moment, by model and version."""

    versions: Mapping[tuple[str, str], Counts]
    threshold: float


@dataclass(frozen=True, slots=True)
class Row:
    """One version of one model, as a person wants to see it.

    Attributes:
        role, share: see Counts.
        requests, errors: since its start.
        requests_per_s: between the two readings.
        p50_ms, p99_ms, batch: of the requests between the readings, or since its start if there were none; None
            without any. `batch` is the mean number of examples computed at once.
        drift, drift_of: the largest index, and of what; None if nothing can be said.
        drifted: whether it is over the endpoint's threshold.
        agreed, right: share of a shadow's answers that were the champion's; of the answers whose true label came back.
    """

    model: str
    version: str
    role: str
    share: float
    requests: int
    errors: int
    requests_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    batch: float | None
    drift: float | None
    drift_of: str | None
    drifted: bool
    agreed: float | None
    right: float | None


def read(text: str) -> Reading:
    """What stands in Prometheus's text format. Raises ValueError for another text."""
    versions: dict[tuple[str, str], Counts] = {}
    threshold = math.inf
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(_PREFIX)
            if name == "drift_threshold":
                threshold = sample.value
            if "model" in sample.labels:
                counts = versions.setdefault((sample.labels["model"], sample.labels["version"]), Counts())
                _take(counts, name, sample.labels, sample.value)
    return Reading(versions, threshold)


def rows(before: Reading, after: Reading, seconds: float) -> list[Row]:
    """One for each version, by model and number."""

    def order(key: tuple[str, str]) -> tuple[str, int]:
        return key[0], int(key[1])

    return [
        _row(*key, before.versions.get(key, Counts()), after.versions[key], seconds, after.threshold)
        for key in sorted(after.versions, key=order)
    ]


def quantile(latency: Buckets, share: float) -> float | None:
    """Seconds that `share` of the requests stayed under, evenly spread within a bucket; None without requests."""
    bounds = sorted(latency)
    total = latency[bounds[-1]] if bounds else 0
    if not total:
        return None
    below, upto = 0.0, 0.0
    for bound in bounds:
        if latency[bound] >= share * total:
            inside = latency[bound] - upto
            return below if math.isinf(bound) else below + (bound - below) * (share * total - upto) / inside
        below, upto = bound, latency[bound]
    return below


def _take(counts: Counts, name: str, labels: Mapping[str, str], value: float) -> None:
    if name == "traffic_share":
        counts.role, counts.share = labels["role"], value
    elif name == "request_seconds_bucket":
        counts.latency[float(labels["le"])] = value
    elif name == "drift_psi":
        counts.drift[labels["of"]] = value
    elif "outcome" in labels:
        counts.outcomes[labels["outcome"]] = value
    elif set(labels) == {"model", "version"}:
        counts.values[name] = value


def _row(model: str, version: str, before: Counts, after: Counts, seconds: float, threshold: float) -> Row:
    new = {name: value - before.values.get(name, 0) for name, value in after.values.items()}
    latency = {bound: count - before.latency.get(bound, 0) for bound, count in after.latency.items()}
    if new.get("requests_total", 0) <= 0 or min(new.values()) < 0:  # nothing new, or a new process that counts anew
        new = {**after.values, "requests_total": max(new.get("requests_total", 0), 0)}
        latency = after.latency
    drift_of = max(after.drift, key=lambda of: after.drift[of], default=None)
    drift = None if drift_of is None else after.drift[drift_of]
    return Row(
        model,
        version,
        role=after.role,
        share=after.share,
        requests=int(after.values.get("requests_total", 0)),
        errors=int(after.values.get("errors_total", 0)),
        requests_per_s=new["requests_total"] / seconds,
        p50_ms=_ms(quantile(latency, 0.5)),
        p99_ms=_ms(quantile(latency, 0.99)),
        batch=_share(new.get("examples_total", 0), new.get("batches_total", 0)),
        drift=drift,
        drift_of=drift_of,
        drifted=drift is not None and drift > threshold,
        agreed=_part(after.outcomes, "agreed", "differed"),
        right=_part(after.outcomes, "right", "wrong"),
    )


def _part(outcomes: Mapping[str, float], good: str, bad: str) -> float | None:
    return _share(outcomes.get(good, 0), outcomes.get(good, 0) + outcomes.get(bad, 0))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
