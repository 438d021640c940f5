"""Drift: silent while nothing changed, told when the inputs or the answers did, and never of too few examples."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from raytune_app.data.arrays import Arrays
from raytune_app.data.features import picture_features, text_features
from raytune_app.data.reference import Histogram, Reference, reference
from raytune_app.errors import CorruptModelError
from raytune_app.registry import Draft, Registry
from serving.versions.dataplane import DataPlane
from serving.versions.predictor import Predictor
from serving.watch.drift import MAX_BINS, MIN_SAMPLES, THRESHOLD, WINDOW, Drift, Expected, Window, drifts, psi
from serving.watch.statistics import added
from serving.web.rest import Rest
from serving.wire.pictures import Pictures

MakeDraft = Callable[..., Draft]

SHAPE = (1, 8, 8)
CLASSES = 4


def pictures(seed: int, count: int = 4000, shift: int = 0) -> np.ndarray:
    """Noise of many brightnesses, [N, 1, 8, 8]."""
    random = np.random.default_rng(seed)
    level = random.uniform(40, 160, (count, 1, 1, 1)) + shift
    return np.clip(random.normal(level, 20, (count, *SHAPE)), 0, 255).astype(np.uint8)


def answers(seed: int, count: int = 4000, mix: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)) -> np.ndarray:
    """Probabilities [N, 4] whose largest are spread over the classes like `mix`."""
    chosen = np.random.default_rng(seed).choice(CLASSES, count, p=mix)
    return np.eye(CLASSES, dtype=np.float32)[chosen]


EXPECTED = Expected(reference(Arrays(pictures(0), np.zeros(4000, np.int64)), answers(0)), picture_features)


def seen(images: np.ndarray, probabilities: np.ndarray, size: int = 1) -> dict[str, Drift]:
    """The drift after these, in requests of `size` examples."""
    window = Window(EXPECTED)
    for start in range(0, len(images), size):
        window.saw(images[start : start + size], probabilities[start : start + size])
    return {each.of: each for each in drifts(EXPECTED.reference, window.snapshot())}


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("count", [MIN_SAMPLES, 3000])
def test_the_same_distribution_stays_under_the_threshold(seed: int, count: int) -> None:
    found = seen(pictures(seed, count), answers(seed, count))
    assert set(found) == {"predictions", "brightness", "contrast"}
    assert [each.drifted for each in found.values()] == [False] * 3
    assert max(each.psi or 1 for each in found.values()) < THRESHOLD


def test_brighter_pictures_are_told_and_the_answers_stay_as_they_are() -> None:
    found = seen(pictures(1, 1000, shift=40), answers(1, 1000))
    assert found["brightness"].drifted
    assert found["predictions"].drifted is False


def test_another_mix_of_classes_is_told_and_the_inputs_stay_as_they_are() -> None:
    found = seen(pictures(1, 1000), answers(1, 1000, mix=(0.1, 0.2, 0.3, 0.4)))
    assert found["predictions"].drifted
    assert found["brightness"].drifted is False


def test_too_few_examples_say_nothing_however_odd_they_are() -> None:
    found = seen(pictures(1, MIN_SAMPLES - 1, shift=90), answers(1, MIN_SAMPLES - 1, mix=(0, 0, 0, 1)))
    assert {(each.psi, each.drifted) for each in found.values()} == {(None, None)}
    assert {each.samples for each in found.values()} == {MIN_SAMPLES - 1}


def test_statistics_of_too_few_training_examples_say_nothing_ever() -> None:
    few = Reference(classes=(30, 20), features={"brightness": Histogram(edges=(0.5,), counts=(25, 25))})
    counts = {"recent_predictions": [0.0, 9000.0], "recent_brightness": [0.0, 9000.0]}
    assert [(each.psi, each.needed) for each in drifts(few, counts)] == [(None, None)] * 2


@pytest.mark.parametrize("size", [1, 7, 250])
def test_a_request_of_many_examples_counts_some_of_them_drawn_fairly(size: int) -> None:
    """Classes in turn: every k-th example would see only some of them."""
    turn = np.eye(CLASSES, dtype=np.float32)[np.arange(8000) % CLASSES]
    window = Window(EXPECTED)
    for start in range(0, 8000, size):
        window.saw(pictures(1, len(turn[start : start + size])), turn[start : start + size])
    counts = window.snapshot()["recent_predictions"]
    assert min(counts) / max(counts) > 0.7


def test_what_is_long_past_no_longer_matters() -> None:
    window = Window(EXPECTED)
    for shift in (90, 0):
        images, probabilities = pictures(3, 2000, shift), answers(3, 2000)
        for row in range(20 * WINDOW):
            window.saw(images[row % 2000][np.newaxis], probabilities[row % 2000][np.newaxis])
        drifted = {each.of: each.drifted for each in drifts(EXPECTED.reference, window.snapshot())}
        assert drifted["brightness"] is (shift > 0)
    assert sum(window.snapshot()["recent_predictions"]) < WINDOW


def test_windows_of_several_processes_add_up() -> None:
    windows = [Window(EXPECTED) for _ in range(2)]
    for number, window in enumerate(windows):
        for picture, answer in zip(pictures(number, 150), answers(number, 150), strict=True):
            window.saw(picture[np.newaxis], answer[np.newaxis])
    alone = drifts(EXPECTED.reference, windows[0].snapshot())
    together = drifts(EXPECTED.reference, added(window.snapshot() for window in windows))
    assert {each.psi for each in alone} == {None}
    assert all(each.psi is not None and each.samples == 300 for each in together)


def test_many_rare_classes_count_as_one() -> None:
    classes = tuple(max(1, 4000 >> index) for index in range(1000))
    found = drifts(Reference(classes=classes, features={}), {"recent_predictions": [float(each) for each in classes]})
    assert found[0].needed is not None and found[0].needed < 1000 and MAX_BINS < 1000
    assert found[0].drifted is False
    moved = drifts(Reference(classes=classes, features={}), {"recent_predictions": [10.0] * 1000})
    assert moved[0].drifted is True


counts = st.lists(st.integers(0, 1000), min_size=2, max_size=12)


@given(counts)
def test_the_index_of_a_distribution_with_itself_is_zero(expected: list[int]) -> None:
    assert psi(expected, expected) == pytest.approx(0, abs=1e-12)


@given(counts, st.randoms())
def test_the_index_is_never_negative_and_the_same_from_both_sides(expected: list[int], random: Any) -> None:
    other = random.sample(expected, len(expected))
    assert psi(expected, other) >= 0
    assert psi(expected, other) == pytest.approx(psi(other, expected))


def test_the_index_is_the_textbook_one() -> None:
    assert psi([500_000, 500_000], [600_000, 400_000]) == pytest.approx(0.1 * np.log(1.2) - 0.1 * np.log(0.8), rel=1e-4)


@given(st.text())
def test_any_text_has_features(text: str) -> None:
    assert all(np.isfinite(value) for value in text_features(text))


class Bright:
    """A model for pictures that knows what it was trained on, or does not."""

    name = "bright"
    version = 1
    inputs = Pictures(SHAPE)
    labels = ("a", "b", "c", "d")
    example_s = 0.0

    def __init__(self, expected: Expected | None) -> None:
        self.expected = expected

    def predict(self, images: np.ndarray) -> np.ndarray:
        return answers(int(images[0, 0, 0, 0]), len(images))


def told(expected: Expected | None, path: str, requests: int = 0) -> httpx.Response:
    """What the endpoint says at `path` after some bright pictures."""
    plane = DataPlane()
    plane.serve(Bright(expected))

    async def run() -> httpx.Response:
        for picture in pictures(1, requests, shift=60):
            await plane.classify("bright", None, "application/octet-stream", picture.tobytes())
        transport = httpx.ASGITransport(Rest(plane))
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            return await client.get(path)

    return asyncio.run(run())


@pytest.mark.parametrize("path", ["/v2/models/bright/drift", "/v2/models/bright/versions/1/drift"])
def test_the_endpoint_tells_its_drift_as_json(path: str) -> None:
    content = told(EXPECTED, path, requests=300).json()
    assert (content["name"], content["threshold"]) == ("bright", THRESHOLD)
    (version,) = content["versions"]
    found = {each["of"]: each for each in version["drift"]}
    assert version["version"] == "1"
    assert found["brightness"]["drifted"] is True
    assert found["brightness"]["psi"] > THRESHOLD
    assert found["brightness"]["samples"] == 300


def test_a_version_without_training_statistics_has_no_drift() -> None:
    content = told(None, "/v2/models/bright/drift", requests=5).json()
    assert content["versions"] == [{"version": "1", "drift": []}]
    assert told(EXPECTED, "/v2/models/nobody/drift").status_code == 404
    assert told(EXPECTED, "/v2/models/bright/versions/9/drift").status_code == 404


def test_prometheus_reads_it_once_there_is_enough() -> None:
    def indices(requests: int) -> dict[str, float]:
        text = told(EXPECTED, "/metrics", requests).text
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return {sample.labels["of"]: sample.value for sample in families["raytune_drift_psi"].samples}

    assert indices(10) == {}
    found = indices(300)
    assert found["brightness"] > THRESHOLD > found["contrast"] >= 0


def test_the_statistics_survive_json() -> None:
    stored = json.loads(json.dumps(EXPECTED.reference.model_dump(mode="json")))
    assert Reference.model_validate(stored) == EXPECTED.reference


def test_a_registered_version_knows_its_statistics_and_refuses_those_of_another_model(
    registry: Registry, make_draft: MakeDraft, make_text_draft: MakeDraft
) -> None:
    of_ten = reference(Arrays(pictures(0, 300), np.zeros(300, np.int64)), np.eye(10, dtype=np.float32)[[0] * 300])

    def load(draft: Draft, stored: dict[str, Any]) -> Predictor:
        version = registry.register("mnist", replace(draft, model={**draft.model, **stored}))
        return Predictor.load(registry.storage.uri, "mnist", version)

    loaded = load(make_draft(), {"reference": of_ten.model_dump(mode="json")})
    assert loaded.expected == Expected(of_ten, picture_features)
    assert load(make_draft(), {}).expected is None
    with pytest.raises(CorruptModelError, match="training statistics"):
        load(make_draft(classes=3), {"reference": of_ten.model_dump(mode="json")})
    with pytest.raises(CorruptModelError, match="training statistics"):
        load(make_text_draft(), {"reference": of_ten.model_dump(mode="json")})
    with pytest.raises(CorruptModelError, match="cannot be rebuilt"):
        load(make_draft(), {"reference": {"classes": "many"}})
