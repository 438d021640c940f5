"""Versions that change, fail and are killed under continuous load, with real processes: no request is ever lost.

Two replicas of one model and a steward, as `raytune serve mnist --replicas 2` runs them.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import numpy as np
import psutil
import pytest
import ray
from safetensors.numpy import load, save

from raytune_app.cluster import Cluster
from raytune_app.endpoint.client import Endpoint
from raytune_app.endpoint.deployment import Deployment, deploy
from raytune_app.endpoint.fastpath import free_ports
from raytune_app.registry import Draft, Registry
from raytune_app.rollout.steward import Steward, started, wanted
from raytune_app.rollout.traffic import Mode
from raytune_app.storage import Storage

MakeDraft = Callable[..., Draft]
DEADLINE_S = 60
CLIENTS = 3
BRIGHT = bytes([255]) * 784

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


def brittle(draft: Draft) -> Draft:
    """Sound by its golden samples, which are black, but no number comes of a bright picture."""
    weights: dict[str, np.ndarray] = {
        name: np.where(value > 0, np.float32(3e38), np.float32(-3e38)) if name.endswith("weight") else 0 * value
        for name, value in load(draft.weights).items()
    }
    import torch
    from pydantic import TypeAdapter

    from raytune_app.models.catalog import build
    from raytune_app.models.picture_classifier import PictureClassifier
    from raytune_app.models.signature import signature_from_dict
    from raytune_app.spec.grammar import ModelSpec
    from raytune_app.training.predict import predict

    signature = signature_from_dict({**draft.model["signature"], "mean": [0.0], "std": [1.0]})
    classifier = build(TypeAdapter(ModelSpec).validate_python(draft.model["network"]), signature, seed=0).eval()
    assert isinstance(classifier, PictureClassifier)
    classifier.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    state: dict[str, np.ndarray] = {name: value.numpy() for name, value in classifier.state_dict().items()}
    black = np.zeros((4, 1, 28, 28), np.uint8)
    probabilities = predict(classifier, black, device=torch.device("cpu"))
    assert np.isfinite(probabilities).all()
    golden: dict[str, np.ndarray] = {"inputs": black, "probabilities": probabilities}
    return Draft({**draft.model, "signature": signature.to_dict()}, save(state), save(golden), draft.card)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, make_draft: MakeDraft) -> Registry:
    """Versions 1, 2 and 3 are good; 4 fails on every bright picture."""
    registry = Registry(Storage(str(tmp_path_factory.mktemp("rollouts"))))
    for seed in range(3):
        registry.register("mnist", make_draft(seed))
    registry.register("mnist", brittle(make_draft(4)))
    registry.promote("mnist", 1)
    return registry


@pytest.fixture(scope="module")
def deployment(ray_cluster: Cluster, registry: Registry) -> Iterator[Deployment]:
    with deploy(
        ray_cluster, wanted(registry, ["mnist"]), registry.storage.uri, port=free_ports(1)[0], replicas=2
    ) as deployment:
        yield deployment


@pytest.fixture
def steward(deployment: Deployment, registry: Registry) -> Iterator[list[str]]:
    """A steward that looks every half second while the test runs; yields what it says."""
    said: list[str] = []
    stop = threading.Event()
    steward = Steward(registry, ["mnist"], deployment, deployment.plan.models, said.append, time.time)

    def look() -> None:
        while not stop.wait(0.5):
            steward.step()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield said
    finally:
        stop.set()
        thread.join()


@dataclass
class Load:
    """What came of the requests: statuses and versions, counted; what broke, in words."""

    statuses: dict[int, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def add(self, answer: httpx.Response) -> None:
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        if answer.status_code == 200:
            version = answer.json()["version"]
            self.versions[version] = self.versions.get(version, 0) + 1


@contextmanager
def load_on(url: str) -> Iterator[Load]:
    """Requests from CLIENTS threads until the block is left; each sends a key of its own."""
    load, stop = Load(), threading.Event()

    def ask(client_number: int) -> None:
        number = 0
        with httpx.Client(timeout=30) as client:
            while not stop.is_set():
                number += 1
                headers = {"x-session-id": f"{client_number}-{number}", "content-type": "application/octet-stream"}
                try:
                    load.add(client.post(f"{url}/v2/models/mnist/classify", content=BRIGHT, headers=headers))
                except httpx.HTTPError as error:
                    load.broken.append(repr(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def processes(name: str) -> set[int]:
    found = set()
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # gone since it was listed
            found |= {each.pid} if name in each.name() else set()
    return found


def test_a_good_rollout_is_promoted_and_a_rollback_returns(
    deployment: Deployment, registry: Registry, steward: list[str]
) -> None:
    before = processes("ServeReplica")
    with load_on(deployment.url) as load:
        registry.start_rollout("mnist", started(2, Mode.CANARY, 0.5, time.time(), slow_ms=2000.0))
        until(lambda: registry.aliases("mnist")["champion"] == 2)
        until(lambda: deployment.plan.models["mnist"].champion == 2)
        registry.rollback("mnist")
        until(lambda: deployment.plan.models["mnist"].champion == 1)
    assert not load.broken
    assert set(load.statuses) == {200}
    assert set(load.versions) == {"1", "2"}
    assert processes("ServeReplica") == before
    assert any("proved no worse" in line for line in steward)


@pytest.mark.parametrize("mode", [Mode.CANARY, Mode.SHADOW])
def test_a_bad_rollout_is_taken_back_and_no_client_notices(
    deployment: Deployment, registry: Registry, steward: list[str], mode: Mode
) -> None:
    with load_on(deployment.url) as load:
        registry.start_rollout("mnist", started(4, mode, 0.5, time.time(), slow_ms=2000.0))
        until(lambda: registry.rollout("mnist") is None)
        until(lambda: deployment.plan.models["mnist"].rollout is None)
    assert not load.broken
    assert set(load.statuses) == {200}
    assert set(load.versions) == {"1"}
    assert registry.history("mnist")[-1]["reason"].startswith("more failed")
    assert any("rolled back" in line for line in steward)


def test_labels_that_come_back_take_a_worse_version_back(
    deployment: Deployment, registry: Registry, steward: list[str]
) -> None:
    registry.start_rollout("mnist", started(3, Mode.AB, 0.5, time.time(), slow_ms=2000.0))
    until(lambda: deployment.plan.models["mnist"].rollout is not None)
    told = [{"version": "1", "answered": "class 1", "label": "class 1"}] * 300
    told += [{"version": "3", "answered": "class 1", "label": "class 2"}] * 300
    time.sleep(1)  # the guard begins to count with its first look
    with httpx.Client(base_url=deployment.url) as client:
        for start in range(0, len(told), 50):
            assert client.post("/v2/models/mnist/feedback", json=told[start : start + 50]).status_code == 200
            time.sleep(0.1)
    until(lambda: registry.rollout("mnist") is None)
    assert registry.history("mnist")[-1]["reason"].startswith("more were answered wrong")
    until(lambda: deployment.plan.models["mnist"].rollout is None)


def test_a_client_loads_a_version_on_every_replica(deployment: Deployment) -> None:
    with httpx.Client(base_url=deployment.url, timeout=30) as client:
        body = {"parameters": {"version": "3"}}
        assert client.post("/v2/repository/models/mnist/load", json=body).status_code == 200
        until(lambda: holding(deployment, 3) == 2)
        assert {client.get("/v2/models/mnist/versions/3/ready").status_code for _ in range(10)} == {200}
        assert client.post("/v2/repository/models/mnist/unload", json=body).status_code == 200
        until(lambda: holding(deployment, 3) == 0)


def holding(deployment: Deployment, version: int) -> int:
    """How many replicas of those alive hold a version because a client asked for it."""
    with Endpoint(deployment.url) as endpoint:
        replicas = endpoint.overview()["replicas"]
    return sum(version in each["traffic"]["mnist"]["also"] for each in replicas if each["at"] > time.time() - 3)


def test_a_killed_replica_costs_no_answer(deployment: Deployment) -> None:
    victim = min(processes("ServeReplica"))
    with load_on(deployment.url) as load:
        time.sleep(1.5)
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(processes("ServeReplica") - {victim}) == 2)
        until(deployment.ready)
        time.sleep(1)
    assert not load.broken
    assert set(load.statuses) == {200}


def test_a_killed_controller_costs_no_answer_and_traffic_can_still_be_turned(
    deployment: Deployment, registry: Registry
) -> None:
    controller = ray.get_actor("SERVE_CONTROLLER_ACTOR", namespace="serve")
    pid = next(iter(processes("ServeController")))
    with load_on(deployment.url) as load:
        time.sleep(0.5)
        ray.kill(controller, no_restart=False)
        until(lambda: processes("ServeController") - {pid} != set())
        time.sleep(1)
        deployment.update({"mnist": 2})
        deployment.update({"mnist": 1})
    assert not load.broken
    assert set(load.statuses) == {200}
    assert set(load.versions) == {"1", "2"}
