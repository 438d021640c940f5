"""An endpoint for others, as real processes: what listens where, TLS, and who may change what is served."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from raytune_app.cluster import Cluster
from raytune_app.endpoint.client import Endpoint
from raytune_app.endpoint.deployment import Deployment, deploy
from raytune_app.endpoint.fastpath import free_ports
from raytune_app.endpoint.keys import Scope, new_key
from raytune_app.endpoint.lock import Lock
from raytune_app.endpoint.plan import EVERYWHERE
from raytune_app.errors import EndpointError, UnknownKeyError
from raytune_app.registry import Draft, Registry
from raytune_app.storage import Storage
from serving.door.door import is_loopback

LOAD = "/v2/repository/models/mnist/load"

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, make_draft: Callable[..., Draft]) -> Registry:
    registry = Registry(Storage(str(tmp_path_factory.mktemp("registry"))))
    registry.register("mnist", make_draft())
    return registry


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys"


@pytest.fixture(scope="module")
def key(key_file: Path) -> str:
    return new_key(key_file, "phone", Scope.INFER)


@pytest.fixture(scope="module")
def deployment(ray_cluster: Cluster, registry: Registry, key_file: Path, key: str, pem: Path) -> Iterator[Deployment]:
    """For everyone: with keys and TLS, over HTTP and gRPC."""
    port, grpc_port = free_ports(2)
    lock = Lock(key_file, pem, pem)
    models, storage = {"mnist": 1}, registry.storage.uri
    with deploy(
        ray_cluster, models, storage, host=EVERYWHERE[0], port=port, grpc_port=grpc_port, lock=lock
    ) as deployment:
        yield deployment


def listening() -> dict[tuple[str, int], str]:
    """Addresses at which this process and all it started listen, and who does."""
    found = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found[connection.laddr.ip, connection.laddr.port] = process.name()
        except psutil.Error:  # it has just ended
            continue
    return found


def test_nothing_but_the_endpoint_itself_listens_to_others(deployment: Deployment) -> None:
    sockets = listening()
    assert any("ServeReplica" in name for name in sockets.values())
    assert any("raylet" in name for name in sockets.values())
    for_others = {port: name for (ip, port), name in sockets.items() if not is_loopback(ip)}
    assert for_others.keys() == {deployment.plan.port, deployment.plan.grpc_port}
    assert for_others[deployment.plan.port] == "haproxy"


def test_it_speaks_tls_and_nothing_else(deployment: Deployment, key: str, pem: Path) -> None:
    assert deployment.url.startswith("https://127.0.0.1:")
    with Endpoint(deployment.url, key=key, trust=pem) as endpoint:
        assert endpoint.classify("mnist", bytes(784))["version"] == "1"
    with Endpoint(deployment.url, key=key) as stranger, pytest.raises(EndpointError, match="certificate"):
        stranger.metadata("mnist")
    with Endpoint(deployment.url.replace("https", "http"), key=key) as plain, pytest.raises(EndpointError):
        plain.metadata("mnist")


def test_keys_open_it_and_are_taken_back_without_a_restart(deployment: Deployment, key_file: Path, pem: Path) -> None:
    short_lived = new_key(key_file, "guest", Scope.INFER)
    with Endpoint(deployment.url, key=short_lived, trust=pem) as endpoint:
        assert eventually(lambda: bool(endpoint.metadata("mnist")))
        lines = [line for line in key_file.read_text().splitlines() if "guest" not in line]
        key_file.write_text("\n".join(lines))
        assert eventually(lambda: not endpoint.metadata("mnist"), refused=True)


def eventually(is_so: Callable[[], bool], *, refused: bool = False) -> bool:
    """Whether the door opens, or closes, within some seconds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if is_so():
                return True
        except UnknownKeyError:
            if refused:
                return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def open_deployment(deployment: Deployment, ray_cluster: Cluster, registry: Registry) -> Iterator[Deployment]:
    """For this machine, without keys; after the other."""
    deployment.stop()
    with deploy(ray_cluster, {"mnist": 1}, registry.storage.uri, port=deployment.plan.port) as opened:
        yield opened


def test_without_keys_this_machine_alone_changes_what_is_served(open_deployment: Deployment) -> None:
    """Nothing that a client says of itself counts, and no page of another site asks through this machine's browser."""
    strangers = {
        "passed on": {"x-forwarded-for": "127.0.0.1"},
        "said otherwise": {"forwarded": "for=127.0.0.1"},
        "another site's page": {"origin": "http://evil.example"},
        "another site's name": {"host": "evil.example"},
    }
    with httpx.Client(base_url=open_deployment.url, trust_env=False) as client:
        assert client.post(LOAD, content=b"{}").status_code == 200
        statuses = {
            name: client.post(LOAD, content=b"{}", headers=said).status_code for name, said in strangers.items()
        }
        assert client.get("/v2", headers={"x-forwarded-for": "8.8.8.8"}).status_code == 200
    assert statuses == dict.fromkeys(strangers, 403)
