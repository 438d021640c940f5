"""What is said and what is left when an endpoint does not start; a fake speaks Serve's declarative interface."""

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raytune_app.cluster import Cluster
from raytune_app.endpoint import deployment
from raytune_app.endpoint.deployment import deploy
from raytune_app.endpoint.fastpath import free_ports
from raytune_app.endpoint.lock import Lock
from raytune_app.endpoint.plan import EVERYWHERE, Plan, check_port, traffic_of
from raytune_app.errors import CorruptModelError, EndpointError, InputError, NotFoundError
from raytune_app.registry import Draft, Registry

CLUSTER = Cluster("http://127.0.0.1:1", embedded=True, token_file=None, cpus=2, gpus=0)
TRACEBACK = """The deployment failed to start 1 times in a row. Error:
ray::ServeReplica:raytune:models.initialize_and_get_metadata()
  File "x.py", line 1, in y
raytune_app.errors.CorruptModelError: models/mnist/1/golden.safetensors: the outputs differ"""


class FakeServe:
    """Keeps what it was sent and answers with `applications`."""

    def __init__(self, applications: dict[str, Any]) -> None:
        self.applications: dict[str, Any] = applications
        self.sent: list[dict[str, Any]] = []
        self.deleted = 0

    def get_serve_details(self) -> dict[str, Any]:
        return {"applications": self.applications if self.sent or "other" in self.applications else {}}

    def deploy_applications(self, config: dict[str, Any]) -> None:
        self.sent.append(config)

    def delete_applications(self) -> None:
        self.deleted += 1


def application(status: str, message: str = "") -> dict[str, Any]:
    models = {"status": "UPDATING", "message": message}
    return {"raytune": {"status": status, "message": "", "deployments": {"models": models}}}


@pytest.fixture
def registry_with_mnist(registry: Registry, make_draft: Callable[..., Draft]) -> Registry:
    registry.register("mnist", make_draft())
    return registry


def start(monkeypatch: pytest.MonkeyPatch, fake: FakeServe, registry: Registry, deadline_s: float = 10) -> None:
    monkeypatch.setattr(deployment, "_client", lambda _: fake)
    deploy(CLUSTER, {"mnist": 1}, registry.storage.uri, port=free_ports(1)[0], deadline_s=deadline_s)


@pytest.mark.parametrize("status", ["DEPLOYING", "DEPLOY_FAILED", "UNHEALTHY"])
def test_the_replicas_reason_is_told_in_one_line_and_nothing_stays(
    monkeypatch: pytest.MonkeyPatch, registry_with_mnist: Registry, status: str
) -> None:
    fake = FakeServe(application(status, TRACEBACK))
    with pytest.raises(EndpointError, match=r"CorruptModelError: models/mnist/1/golden\.safetensors") as caught:
        start(monkeypatch, fake, registry_with_mnist)
    assert "\n" not in caught.value.message
    assert (len(fake.sent), fake.deleted) == (1, 1)


def test_a_start_that_takes_too_long_says_what_it_waited_for(
    monkeypatch: pytest.MonkeyPatch, registry_with_mnist: Registry
) -> None:
    fake = FakeServe(application("DEPLOYING"))
    with pytest.raises(EndpointError, match="not ready in time: starting the replica"):
        start(monkeypatch, fake, registry_with_mnist, deadline_s=0)
    assert fake.deleted == 1


def test_other_applications_are_left_alone(monkeypatch: pytest.MonkeyPatch, registry_with_mnist: Registry) -> None:
    fake = FakeServe({"other": {}})
    with pytest.raises(InputError, match="runs already: other"):
        start(monkeypatch, fake, registry_with_mnist)
    assert (fake.sent, fake.deleted) == ([], 0)


def test_a_damaged_version_is_told_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, registry_with_mnist: Registry
) -> None:
    Path(registry_with_mnist.storage.full("models/mnist/1/weights.safetensors")).write_bytes(b"damaged")
    fake = FakeServe({})
    with pytest.raises(CorruptModelError, match=r"weights\.safetensors"):
        start(monkeypatch, fake, registry_with_mnist)
    assert fake.sent == []


def test_an_unknown_model_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    fake = FakeServe({})
    with pytest.raises(NotFoundError):
        start(monkeypatch, fake, registry)
    assert fake.sent == []


def test_another_version_changes_nothing_but_user_config() -> None:
    lock = Lock()
    one, two = (Plan(traffic_of({"mnist": version}), "/store", lock=lock, board="b").config() for version in (1, 2))
    for config in (one, two):
        config["applications"][0]["deployments"][0].pop("user_config")
    assert one == two


def test_a_taken_port_is_refused_and_a_free_one_is_not() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} .* is in use"):
            check_port(port)
    check_port(port)


def test_http_and_grpc_are_refused_one_port_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, registry_with_mnist: Registry
) -> None:
    fake, port = FakeServe({}), free_ports(1)[0]
    monkeypatch.setattr(deployment, "_client", lambda _: fake)
    with pytest.raises(InputError, match=f"cannot share port {port}"):
        deploy(CLUSTER, {"mnist": 1}, registry_with_mnist.storage.uri, port=port, grpc_port=port)
    assert fake.sent == []


def test_a_taken_port_for_grpc_is_refused_by_its_own_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError) as caught:
            check_port(taken.getsockname()[1], option="--grpc-port")
    assert "--grpc-port" in str(caught.value.remedy)


@pytest.mark.parametrize("port", [-1, 70_000])
def test_a_port_that_cannot_be_is_refused(port: int) -> None:
    with pytest.raises(InputError, match="does not exist"):
        check_port(port)


def test_the_url_of_an_endpoint_for_everyone_is_one_that_can_be_asked() -> None:
    everywhere = deployment.Deployment(CLUSTER, Plan(traffic_of({"mnist": 1}), "/store", host=EVERYWHERE[0], port=80))
    assert everywhere.url == "http://127.0.0.1:80"


def test_an_endpoint_is_started_on_the_head_where_it_listens() -> None:
    elsewhere = replace(CLUSTER, head="10.0.0.1", embedded=False)
    with pytest.raises(InputError, match=r"listens on the cluster's head, 10\.0\.0\.1") as refused:
        deployment._check_place(elsewhere, "127.0.0.1", 8000)
    assert "ray exec" in str(refused.value.remedy)
