"""Several versions of a model in one process: who answers, who is only counted, and that no client pays for a trial."""

import asyncio
import json
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from raytune_app.errors import InputError, NotFoundError, TooLargeError
from raytune_app.rollout import latency
from raytune_app.rollout.traffic import Mode, Rollout, Traffic
from serving.versions import resident
from serving.versions.dataplane import DataPlane
from serving.versions.ledger import Ledger
from serving.wire.inputs import OCTETS
from serving.wire.pictures import Pictures

SHAPE = (1, 2, 2)
BODY = bytes(4)


class Fixed:
    """A model of two labels that always answers the one its `says` names; `fault` makes it raise or answer NaN."""

    name = "four"
    inputs = Pictures(SHAPE)
    labels = ("no", "yes")
    example_s = 0.0

    def __init__(self, version: int, says: int = 0, fault: Exception | float | None = None) -> None:
        self.version = version
        self.says = says
        self.fault = fault

    def predict(self, images: np.ndarray) -> np.ndarray:
        if isinstance(self.fault, Exception):
            raise self.fault
        row = np.array([self.fault or 0.1, 0.9] if self.says else [0.9, self.fault or 0.1], np.float32)
        return np.tile(row, (len(images), 1))


def plane_of(*models: Fixed, mode: Mode = Mode.CANARY, share: float = 1.0) -> DataPlane:
    """The first is the champion, the second, if any, the challenger."""
    plane = DataPlane()
    for model in models:
        plane.add(model)
    rollout = Rollout(challenger=models[1].version, mode=mode, share=share) if len(models) > 1 else None
    plane.route("four", Traffic(champion=models[0].version, rollout=rollout))
    return plane


def ask(plane: DataPlane, times: int = 1, version: str | None = None, *, keys: bool = False) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        found = []
        for number in range(times):
            key = f"user-{number}".encode() if keys else None
            found.append(json.loads(await plane.classify("four", version, OCTETS, BODY, key)))
        await asyncio.sleep(0.05)  # shadows answer after the client
        return found

    return asyncio.run(run())


def test_a_share_of_the_requests_meets_the_challenger_and_a_key_always_the_same_version() -> None:
    plane = plane_of(Fixed(1), Fixed(2, says=1), share=0.3)
    first = [answer["version"] for answer in ask(plane, 1000, keys=True)]
    assert Counter(first)["2"] == pytest.approx(300, abs=60)
    assert first == [answer["version"] for answer in ask(plane, 1000, keys=True)]


def test_a_version_that_is_named_answers_whatever_the_traffic_says() -> None:
    plane = plane_of(Fixed(1), Fixed(2, says=1), share=1.0)
    assert ask(plane, version="1")[0]["version"] == "1"
    assert ask(plane)[0]["version"] == "2"
    with pytest.raises(NotFoundError, match="does not serve") as caught:
        ask(plane, version="3")
    assert caught.value.remedy == "it serves 1, 2"


@pytest.mark.parametrize("fault", [RuntimeError("broken"), float("nan")], ids=["raises", "not a number"])
@pytest.mark.parametrize("mode", list(Mode))
def test_a_challenger_that_fails_is_counted_and_the_champion_answers(mode: Mode, fault: Exception | float) -> None:
    plane = plane_of(Fixed(1), Fixed(2, fault=fault), mode=mode)
    answers = ask(plane, 20)
    assert {answer["version"] for answer in answers} == {"1"}
    assert plane.statistics()["four"]["2"]["failures"] == 20
    assert plane.statistics()["four"]["1"]["failures"] == 0


@pytest.mark.parametrize("fault", [RuntimeError("broken"), float("nan")], ids=["raises", "not a number"])
def test_a_champion_that_fails_is_counted_and_raises(fault: Exception | float) -> None:
    plane = plane_of(Fixed(1, fault=fault))
    with pytest.raises((RuntimeError, ArithmeticError)):
        ask(plane)
    assert plane.statistics()["four"]["1"]["failures"] == 1


def test_a_shadow_answers_nobody_and_is_compared() -> None:
    plane = plane_of(Fixed(1), Fixed(2, says=1), mode=Mode.SHADOW, share=0.5)
    answers = ask(plane, 200, keys=True)
    assert {answer["version"] for answer in answers} == {"1"}
    counts = plane.statistics()["four"]["2"]
    assert counts["differed"] == counts["requests"] == pytest.approx(100, abs=30)
    assert counts["agreed"] == 0


def test_counts_are_of_what_happened() -> None:
    plane = plane_of(Fixed(1))
    ask(plane, 5)
    body = json.dumps({"inputs": [{"name": "pixels", "shape": [3, 1, 2, 2], "datatype": "UINT8", "data": [0] * 12}]})
    asyncio.run(plane.infer("four", None, body.encode()))
    counts = plane.statistics()["four"]["1"]
    assert (counts["requests"], counts["examples"], counts["executions"]) == (6, 8, 6)
    assert counts["classes"] == [8, 0]
    assert sum(counts["latency"]) == 6
    assert counts["request_s"] >= counts["compute_s"] > 0


def test_counts_stay_when_a_version_leaves_memory_and_comes_back() -> None:
    plane = plane_of(Fixed(1), Fixed(2), share=1.0)
    ask(plane, 3)
    plane.route("four", Traffic(champion=1))
    assert set(plane.held("four")) == {1}
    plane.add(Fixed(2))
    plane.route("four", Traffic(champion=2))
    ask(plane, 2)
    assert plane.statistics()["four"]["2"]["requests"] == 5


def test_the_sum_over_processes_is_the_sum() -> None:
    planes = [plane_of(Fixed(1)), plane_of(Fixed(1))]
    for plane, times in zip(planes, (3, 4), strict=True):
        ask(plane, times)
    planes[0].ledger.others = [json.loads(json.dumps(planes[1].report("b", 7.0)))]
    counts = planes[0].statistics()["four"]["1"]
    assert (counts["requests"], sum(counts["latency"]), counts["classes"]) == (7, 7, [7, 0])
    assert [each["replica"] for each in planes[0].overview()["replicas"]] == ["", "b"]
    assert Ledger().totals() == {}


def test_true_labels_are_counted_for_the_version_that_answered() -> None:
    plane = plane_of(Fixed(1), Fixed(2), share=0.5)
    told = [{"version": "2", "answered": "no", "label": label} for label in ("no", "yes", "no")]
    assert plane.feedback("four", json.dumps(told).encode()) == {"model": "four", "counted": 3}
    assert plane.feedback("four", json.dumps({**told[0], "version": "1"}).encode())["counted"] == 1
    counts = plane.statistics()["four"]
    assert (counts["2"]["right"], counts["2"]["wrong"], counts["1"]["right"]) == (2, 1, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": "9", "answered": "no", "label": "no"},
        {"version": "one", "answered": "no", "label": "no"},
        {"version": 1, "answered": "no", "label": "no"},
        {"version": "1", "answered": "no", "label": "maybe"},
        {"version": "1", "answered": "no"},
        {"version": "1", "answered": "no", "label": "no", "more": "x"},
        "no",
    ],
)
def test_feedback_that_cannot_be_counted_is_refused_as_a_whole(wrong: Any) -> None:
    plane = plane_of(Fixed(1))
    good = {"version": "1", "answered": "no", "label": "no"}
    with pytest.raises(InputError):
        plane.feedback("four", json.dumps([good, wrong]).encode())
    assert plane.statistics()["four"]["1"]["right"] == 0
    with pytest.raises(TooLargeError):
        plane.feedback("four", json.dumps([good] * 1001).encode())


class Hanging(Fixed):
    """Takes ten seconds for every answer, in a thread."""

    example_s = 10.0

    def predict(self, images: np.ndarray) -> np.ndarray:
        time.sleep(0.3)
        return super().predict(images)


@pytest.mark.parametrize("mode", [Mode.CANARY, Mode.SHADOW])
def test_a_challenger_that_hangs_is_slow_and_the_champion_answers(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "PATIENCE_S", 0.02)
    plane = plane_of(Fixed(1), Hanging(2), mode=mode)
    assert {answer["version"] for answer in ask(plane, 3)} == {"1"}
    counts = plane.statistics()["four"]
    assert counts["2"]["requests"] == 3
    assert latency.over(counts["2"]["latency"], 0.015) == 3
    assert latency.over(counts["1"]["latency"], 0.015) == 0


def test_a_client_that_leaves_is_counted_as_slow() -> None:
    plane = plane_of(Hanging(1))

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(plane.classify("four", None, OCTETS, BODY), 0.02)

    asyncio.run(run())
    assert plane.statistics()["four"]["1"]["requests"] == 1
