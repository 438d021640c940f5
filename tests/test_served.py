"""What the live table says follows from two readings of the metrics."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.endpoint.served import Reading, Row, quantile, read, rows
from raytune_app.rollout.traffic import Mode, Rollout, Traffic
from serving.versions.dataplane import DataPlane
from serving.watch.observed import metrics
from serving.wire.inputs import OCTETS
from serving.wire.pictures import Pictures


class Level:
    name = "level"
    inputs = Pictures((1, 1, 1))
    labels = ("dark", "bright")
    example_s = 0.0

    def __init__(self, version: int = 1) -> None:
        self.version = version

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.tile(np.array([0.25, 0.75], np.float32), (len(images), 1))


@pytest.fixture
def plane() -> DataPlane:
    plane = DataPlane()
    plane.serve(Level(1))
    return plane


async def ask(plane: DataPlane, count: int, version: str | None = None) -> None:
    for _ in range(count):
        await plane.classify("level", version, OCTETS, bytes(1))


def seen(plane: DataPlane, count: int, seconds: float = 2.0) -> list[Row]:
    """The rows after `count` requests between two looks."""
    import asyncio

    before = read(metrics(plane).decode())
    asyncio.run(ask(plane, count))
    return rows(before, read(metrics(plane).decode()), seconds)


def test_rates_are_of_the_time_between_two_looks_and_counts_since_the_start(plane: DataPlane) -> None:
    seen(plane, 5)
    (row,) = seen(plane, 30)
    assert (row.model, row.version, row.role, row.share) == ("level", "1", "champion", 1)
    assert (row.requests, row.requests_per_s, row.errors) == (35, 15, 0)
    assert row.batch == 1
    assert row.p50_ms is not None and row.p99_ms is not None and 0 < row.p50_ms <= row.p99_ms


def test_while_nothing_is_asked_the_latency_is_that_of_all_before(plane: DataPlane) -> None:
    (silent,) = seen(plane, 0)
    assert (silent.p50_ms, silent.batch, silent.drift, silent.agreed, silent.right) == (None,) * 5
    (busy,) = seen(plane, 20)
    (later,) = seen(plane, 0)
    assert later.requests_per_s == 0
    assert later.p50_ms == busy.p50_ms


def test_a_rollout_and_every_version_have_a_row_in_order(plane: DataPlane) -> None:
    for version in (2, 10):
        plane.add(Level(version))
    plane.route("level", Traffic(champion=2, rollout=Rollout(challenger=10, mode=Mode.AB, share=0.5), also=(1,)))
    found = {row.version: (row.role, row.share) for row in seen(plane, 0)}
    assert found == {"1": ("idle", 0), "2": ("champion", 0.5), "10": ("ab", 0.5)}
    assert list(found) == ["1", "2", "10"]


def test_counters_that_begin_anew_give_no_negative_rate(plane: DataPlane) -> None:
    before = read(metrics(plane).decode())
    seen(plane, 9)
    (row,) = rows(read(metrics(plane).decode()), before, 1)
    assert (row.requests, row.requests_per_s) == (0, 0)


def test_a_new_process_that_has_overtaken_the_old_ones_count_is_seen_as_new() -> None:
    def reading(requests: int, batches: int) -> Reading:
        of = '{model="m",version="1"}'
        counts = {"requests": requests, "examples": requests, "batches": batches}
        return read("".join(f"raytune_{name}_total{of} {value}\n" for name, value in counts.items()))

    (row,) = rows(reading(10, 10), reading(12, 3), 1)
    assert row.batch == 4, "12 in 3, not 2 in -7"


def drifting(index: float) -> Row:
    lines = [
        "raytune_drift_threshold 0.2",
        'raytune_traffic_share{model="m",version="1",role="champion"} 1',
        'raytune_requests_total{model="m",version="1"} 5',
        'raytune_drift_psi{model="m",version="1",of="contrast"} 0.01',
        f'raytune_drift_psi{{model="m",version="1",of="brightness"}} {index}',
        'raytune_shadow_total{model="m",version="1",outcome="agreed"} 3',
        'raytune_shadow_total{model="m",version="1",outcome="differed"} 1',
        'raytune_feedback_total{model="m",version="1",outcome="right"} 9',
        'raytune_feedback_total{model="m",version="1",outcome="wrong"} 1',
    ]
    reading = read("\n".join(lines) + "\n")
    return rows(reading, reading, 1)[0]


def test_the_largest_drift_is_told_and_whether_it_is_one() -> None:
    assert (drifting(0.3).drift, drifting(0.3).drift_of, drifting(0.3).drifted) == (0.3, "brightness", True)
    assert drifting(0.1).drifted is False


def test_agreement_and_accuracy_are_shares() -> None:
    assert (drifting(0.1).agreed, drifting(0.1).right) == (0.75, 0.9)


@given(st.lists(st.floats(0.001, 99), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_is_right_to_within_its_bucket(values: list[float], share: float) -> None:
    bounds = [2.0**power for power in range(-10, 8)]
    latency = {bound: float(sum(value <= bound for value in values)) for bound in [*bounds, math.inf]}
    found, truth = quantile(latency, share), sorted(values)[math.ceil(share * len(values) - 1e-9) - 1]
    above = min(bound for bound in bounds if bound >= truth)
    assert found is not None
    assert above / 2 - 1e-9 <= found <= above + 1e-9 or truth < bounds[0]


def test_without_requests_there_is_no_quantile() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({1.0: 0.0, math.inf: 0.0}, 0.5) is None


def test_another_text_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        read("<!doctype html><html>\n")
