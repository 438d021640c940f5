"""What is told of the versions in memory to who watches them: for Prometheus, and their drift as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raytune_app.rollout.traffic import Traffic
from serving.versions.dataplane import DataPlane
from serving.versions.resident import Model, expected_of
from serving.watch.drift import THRESHOLD, Drift, drifts
from serving.watch.metrics import Seen, exposition
from serving.watch.statistics import Snapshot

CHAMPION, IDLE = "champion", "idle"
DIGITS = 4
"""Of an index in JSON: more would be chance."""


def metrics(plane: DataPlane) -> bytes:
    """Every version in memory, in Prometheus's text format."""
    return exposition(_seen(plane))


def drift(plane: DataPlane, name: str, version: str | None) -> dict[str, Any]:
    """Of one version or of all of a model: the index of the predictions and of each feature, and whether it is a drift.

    Raises NotFoundError, NotReadyError.
    """
    plane.model_ready(name, version)
    counts = plane.statistics().get(name, {})
    held = {str(number): model for number, model in plane.held(name).items()}
    told = [
        {"version": number, "drift": [_told(each) for each in _drifts(model, counts.get(number, {}))]}
        for number, model in held.items()
        if version in (None, number)
    ]
    return {"name": name, "threshold": THRESHOLD, "versions": told}


def _seen(plane: DataPlane) -> Iterator[Seen]:
    counts: Mapping[str, Mapping[str, Snapshot]] = plane.statistics()
    for name, traffic in plane.traffic().items():
        for version, model in plane.held(name).items():
            snapshot = counts[name][str(version)]
            role, share = _role(traffic, version)
            yield Seen(name, version, model.labels, role, share, snapshot, _drifts(model, snapshot))


def _role(traffic: Traffic, version: int) -> tuple[str, float]:
    """What a version is, and its share of the requests that name none."""
    rollout = traffic.rollout
    if rollout is not None and version == rollout.challenger:
        return str(rollout.mode), rollout.share
    if version != traffic.champion:
        return IDLE, 0.0
    taken = 0.0 if rollout is None or rollout.mode == "shadow" else rollout.share
    return CHAMPION, 1 - taken


def _drifts(model: Model, snapshot: Snapshot) -> list[Drift]:
    expected = expected_of(model)
    return [] if expected is None else drifts(expected.reference, snapshot)


def _told(each: Drift) -> dict[str, Any]:
    index = None if each.psi is None else round(each.psi, DIGITS)
    needed = {} if each.needed is None else {"samples_needed": each.needed}
    return {"of": each.of, "psi": index, "drifted": each.drifted, "samples": int(each.samples), **needed}
