"""`GET /metrics`: what a Prometheus server reads there is what happened."""

import asyncio
import json

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from raytune_app.rollout.traffic import Mode, Rollout, Traffic
from serving.versions.dataplane import DataPlane
from serving.web.rest import Rest
from serving.wire.inputs import OCTETS
from serving.wire.pictures import Pictures

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
STRANGE = 'a "quoted"\\\nlabel'


class Level:
    """Says of one pixel whether it is dark; a pixel of 13 breaks it."""

    name = "level"
    inputs = Pictures((1, 1, 1))
    labels = ("dark", STRANGE)
    example_s = 0.0

    def __init__(self, version: int = 1) -> None:
        self.version = version

    def predict(self, images: np.ndarray) -> np.ndarray:
        level = images.reshape(len(images)).astype(np.float32)
        if (level == 13).any():
            raise ValueError("broken")
        return np.stack([1 - level / 255, level / 255], axis=1)


@pytest.fixture
def plane() -> DataPlane:
    plane = DataPlane()
    plane.serve(Level())
    return plane


def ask(plane: DataPlane, *pixels: int, version: str | None = None) -> None:
    async def each() -> None:
        for pixel in pixels:
            await plane.classify("level", version, OCTETS, bytes([pixel]))

    asyncio.run(each())


def scraped(plane: DataPlane) -> httpx.Response:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(Rest(plane))
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            return await client.get("/metrics")

    return asyncio.run(get())


def samples(plane: DataPlane) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(scraped(plane).text):
        assert family.name.startswith("raytune_"), family
        assert family.documentation, family
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} stands there twice"
            found[key] = sample.value
    return found


def value(found: Samples, name: str, version: int = 1, **labels: str) -> float:
    return found[name, frozenset({"model": "level", "version": str(version), **labels}.items())]


def series(found: Samples, name: str) -> list[tuple[float, float]]:
    """Upper bounds and cumulative counts of a histogram, in their order."""
    return sorted((float(dict(labels)["le"]), count) for (each, labels), count in found.items() if each == name)


def test_it_is_prometheus_text_and_counts_every_request(plane: DataPlane) -> None:
    assert scraped(plane).headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    before = samples(plane)
    ask(plane, 0, 0, 255)
    after = samples(plane)
    assert (value(before, "raytune_requests_total"), value(after, "raytune_requests_total")) == (0, 3)
    assert value(after, "raytune_examples_total") == 3
    assert value(after, "raytune_errors_total") == 0
    assert value(after, "raytune_classes_total", label="dark") == 2
    assert value(after, "raytune_classes_total", label=STRANGE) == 1, "and the label comes back as it is"
    assert value(after, "raytune_compute_seconds_total") > 0
    assert value(after, "raytune_queue_seconds_total") > 0
    assert value(after, "raytune_last_answer_timestamp_seconds") > value(
        before, "raytune_last_answer_timestamp_seconds"
    )


def test_what_could_not_be_answered_is_an_error_and_no_answer(plane: DataPlane) -> None:
    with pytest.raises(ValueError, match="broken"):
        ask(plane, 13)
    found = samples(plane)
    assert value(found, "raytune_errors_total") == 1
    assert value(found, "raytune_requests_total") == value(found, "raytune_request_seconds_count") == 0


@pytest.mark.parametrize("name", ["raytune_request_seconds", "raytune_batch_size", "raytune_confidence"])
def test_a_histogram_only_grows_and_ends_with_all(plane: DataPlane, name: str) -> None:
    ask(plane, 0, 51, 204, 255)
    found = samples(plane)
    buckets = series(found, f"{name}_bucket")
    counts = [count for _, count in buckets]
    assert buckets[-1] == (float("inf"), 4)
    assert counts == sorted(counts)
    assert len(buckets) >= 10
    assert value(found, f"{name}_count") == 4
    assert value(found, f"{name}_sum") > 0


def test_the_buckets_hold_what_belongs_into_them(plane: DataPlane) -> None:
    ask(plane, 0, 100, 245, 255)  # confidences 1, 0.61, 0.96, 1
    found = samples(plane)
    confidence = dict(series(found, "raytune_confidence_bucket"))
    assert (confidence[0.6], confidence[0.7], confidence[0.9], confidence[1.0]) == (0, 1, 1, 4)
    assert value(found, "raytune_confidence_sum") == pytest.approx(1 + 155 / 255 + 245 / 255 + 1)
    assert dict(series(found, "raytune_batch_size_bucket"))[1.0] == 4, "each was computed alone"
    assert value(found, "raytune_batch_size_sum") == 4


def test_every_version_is_told_apart_with_its_share_and_its_part(plane: DataPlane) -> None:
    for version in (2, 3):
        plane.add(Level(version))
    plane.route("level", Traffic(champion=1, rollout=Rollout(challenger=2, share=0.25), also=(3,)))
    ask(plane, 0, 0, version="3")
    found = samples(plane)
    assert [value(found, "raytune_requests_total", version) for version in (1, 2, 3)] == [0, 0, 2]
    assert value(found, "raytune_traffic_share", 1, role="champion") == 0.75
    assert value(found, "raytune_traffic_share", 2, role="canary") == 0.25
    assert value(found, "raytune_traffic_share", 3, role="idle") == 0


def test_a_shadow_takes_nothing_from_the_champion_and_its_agreement_is_told(plane: DataPlane) -> None:
    plane.add(Level(2))
    plane.route("level", Traffic(champion=1, rollout=Rollout(challenger=2, mode=Mode.SHADOW, share=1)))

    async def each() -> None:
        await plane.classify("level", None, OCTETS, bytes(1))
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})  # the shadow

    asyncio.run(each())
    found = samples(plane)
    assert value(found, "raytune_traffic_share", 1, role="champion") == 1
    assert value(found, "raytune_traffic_share", 2, role="shadow") == 1
    outcomes = ("agreed", "differed", "dropped")
    assert [value(found, "raytune_shadow_total", 2, outcome=each) for each in outcomes] == [1, 0, 0]


def test_feedback_is_told_right_and_wrong(plane: DataPlane) -> None:
    items = [{"version": "1", "answered": "dark", "label": label} for label in ("dark", "dark", STRANGE)]
    plane.feedback("level", json.dumps(items).encode())
    found = samples(plane)
    assert [value(found, "raytune_feedback_total", outcome=each) for each in ("right", "wrong")] == [2, 1]


def test_before_any_model_there_is_nothing_to_count_but_an_answer() -> None:
    answer = scraped(DataPlane())
    assert answer.status_code == 200
    found = [each.name for family in text_string_to_metric_families(answer.text) for each in family.samples]
    assert found == ["raytune_drift_threshold"]
