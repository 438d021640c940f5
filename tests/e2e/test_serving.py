"""The endpoint as real processes: from a registered version to answers over HTTP, and nothing left afterwards."""

import itertools
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from safetensors.numpy import load

from raytune_app.cluster import Cluster
from raytune_app.endpoint.client import Endpoint
from raytune_app.endpoint.deployment import Deployment, deploy
from raytune_app.endpoint.fastpath import free_ports
from raytune_app.endpoint.plan import check_port
from raytune_app.errors import CorruptModelError, EndpointError, InputError
from raytune_app.registry import Draft, Registry
from raytune_app.storage import Storage

MakeDraft = Callable[..., Draft]
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, make_draft: MakeDraft, make_text_draft: MakeDraft) -> Registry:
    """Of pictures: 1 and 2 are good, 3 is damaged on disk, 4 does not reproduce its golden samples; one of texts."""
    registry = Registry(Storage(str(tmp_path_factory.mktemp("registry"))))
    for seed in range(4):
        registry.register("mnist", make_draft(seed))
    registry.register("tone", make_text_draft())
    Path(registry.storage.full("models/mnist/3/weights.safetensors")).write_bytes(b"damaged")
    registry.register("mnist", Draft(make_draft(5).model, make_draft(5).weights, make_draft(6).golden, ""))
    return registry


@pytest.fixture(scope="module")
def deployment(ray_cluster: Cluster, registry: Registry) -> Iterator[Deployment]:
    port = free_ports(1)[0]
    with deploy(ray_cluster, {"mnist": 1, "tone": 1}, registry.storage.uri, port=port) as deployment:
        yield deployment


def test_saved_loaded_and_served_probabilities_are_equal_to_the_bit(deployment: Deployment, registry: Registry) -> None:
    golden = load(registry.find("mnist@1").read()["golden.safetensors"])
    with Endpoint(deployment.url) as endpoint:
        served = endpoint.infer("mnist", golden["inputs"])
    assert served.tobytes() == golden["probabilities"].tobytes()


def test_an_evaluation_counts_every_picture_once(deployment: Deployment, registry: Registry) -> None:
    golden = load(registry.find("mnist@1").read()["golden.safetensors"])
    images = np.concatenate([golden["inputs"]] * 40)
    labels = golden["probabilities"].argmax(axis=1)
    labels[0] = (labels[0] + 1) % 10
    with Endpoint(deployment.url) as endpoint:
        evaluation = endpoint.evaluate("mnist", images, np.concatenate([labels] * 40))
    assert (evaluation.n, evaluation.version) == (640, "1")
    assert evaluation.accuracy == 15 / 16
    assert 0 < evaluation.p50_ms <= evaluation.p99_ms
    assert evaluation.examples_per_s > 0


def test_binary_tensors_the_index_and_the_page_pass_through_the_proxy(
    deployment: Deployment, registry: Registry
) -> None:
    golden = load(registry.find("mnist@1").read()["golden.safetensors"])
    octets = golden["inputs"].tobytes()
    parameters = {"binary_data_size": len(octets)}
    tensor = {"name": "x", "shape": [16, 1, 28, 28], "datatype": "UINT8", "parameters": parameters}
    outputs = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    length = "inference-header-content-length"
    with httpx.Client(base_url=deployment.url) as client:
        answer = client.post("/v2/models/mnist/infer", content=head + octets, headers={length: str(len(head))})
        index = client.post("/v2/repository/index").json()
        page = client.get("/")
    assert answer.content[int(answer.headers[length]) :] == golden["probabilities"].tobytes()
    assert index == [{"name": name, "version": "1", "state": "READY", "reason": ""} for name in ("mnist", "tone")]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.text.startswith("<!doctype html>")


def test_texts_go_in_raw_and_get_the_models_own_answers(deployment: Deployment, registry: Registry) -> None:
    golden = load(registry.find("tone@1").read()["golden.safetensors"])
    utf8, ends = golden["utf8"].tobytes(), golden["offsets"].tolist()
    texts = [utf8[start:end].decode() for start, end in itertools.pairwise(ends)]
    with Endpoint(deployment.url) as endpoint:
        assert np.allclose(endpoint.infer("tone", texts), golden["probabilities"], atol=1e-6)
        answers = endpoint.classify_texts("tone", ["\0", "\u202e\u05d0", "x" * 1_000_000, *texts])
        plain = endpoint.classify("tone", texts[0].encode(), "text/plain; charset=utf-8")
    assert [answer["index"] for answer in answers[3:]] == golden["probabilities"].argmax(axis=1).tolist()
    assert plain["label"] == answers[3]["label"]


def wide_png() -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 28, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(28 * 20_001))
    parts = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (header, data)]
    return PNG_MAGIC + b"".join(parts)


def test_bad_input_gets_its_status_and_the_endpoint_goes_on(deployment: Deployment) -> None:
    png, octets = {"content-type": "image/png"}, {"content-type": "application/octet-stream"}
    with httpx.Client(base_url=f"{deployment.url}/v2/models") as client:
        wrong_shape = {"inputs": [{"name": "x", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}]}
        answers = {
            "20,000 pixels wide": (client.post("/mnist/classify", content=wide_png(), headers=png), 413),
            "empty body": (client.post("/mnist/classify", content=b"", headers=png), 400),
            "wrong size": (client.post("/mnist/classify", content=bytes(783), headers=octets), 400),
            "wrong kind": (client.post("/mnist/classify", content=b"GIF89a", headers=png), 415),
            "wrong content type": (
                client.post("/mnist/classify", content=b"x", headers={"content-type": "text/css"}),
                415,
            ),
            "wrong shape": (client.post("/mnist/infer", json=wrong_shape), 400),
            "not JSON": (client.post("/mnist/infer", content=b"{"), 400),
            "too long": (client.post("/mnist/infer", content=bytes(2**25 + 1)), 413),
            "unknown model": (client.post("/nobody/classify", content=bytes(784), headers=octets), 404),
            "unknown version": (client.post("/mnist/versions/9/classify", content=bytes(784), headers=octets), 404),
            "good": (client.post("/mnist/classify", content=bytes(784), headers=octets), 200),
        }
    assert {name: answer.status_code for name, (answer, _) in answers.items()} == {
        name: status for name, (_, status) in answers.items()
    }
    assert all("error" in answer.json() for answer, status in answers.values() if status != 200)
    assert "[N, 1, 28, 28]" in answers["wrong shape"][0].json()["error"]


def test_a_client_cannot_choose_serves_timeout(deployment: Deployment) -> None:
    with httpx.Client() as client:
        headers = {"x-request-timeout-seconds": "0.000001"}
        answer = client.post(f"{deployment.url}/v2/models/mnist/classify", content=bytes(784), headers=headers)
    assert answer.status_code == 200


def test_everything_of_the_endpoint_listens_on_the_loopback_interface(deployment: Deployment) -> None:
    listening = [
        connection.laddr
        for process in psutil.Process().children(recursive=True)
        if process.name() == "haproxy"
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert deployment.plan.port in [address.port for address in listening]
    assert {address.ip for address in listening} == {"127.0.0.1"}


@contextmanager
def load_on(url: str) -> Iterator[list[httpx.Response]]:
    """Requests one after another in the background; every answer is kept."""
    answers: list[httpx.Response] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client() as client:
            while not stop.is_set():
                answers.append(client.post(f"{url}/v2/models/mnist/classify", content=bytes(784)))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def replicas() -> set[int]:
    return {each.pid for each in psutil.Process().children(recursive=True) if "ServeReplica" in each.name()}


def test_versions_change_under_load_without_a_restart_or_a_lost_answer(
    deployment: Deployment, registry: Registry
) -> None:
    before = replicas()
    with load_on(deployment.url) as answers:
        deployment.update({"mnist": 2})
        golden = load(registry.find("mnist@2").read()["golden.safetensors"])
        with Endpoint(deployment.url) as endpoint:
            assert endpoint.infer("mnist", golden["inputs"]).tobytes() == golden["probabilities"].tobytes()
        deployment.update({"mnist": 1})
    assert replicas() == before
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["version"] for answer in answers} == {"1", "2"}


def test_a_corrupt_version_is_refused_by_name_and_the_old_one_keeps_answering(deployment: Deployment) -> None:
    with pytest.raises(CorruptModelError, match=r"3/weights\.safetensors"):
        deployment.update({"mnist": 3})
    with Endpoint(deployment.url) as endpoint:
        assert endpoint.metadata("mnist")["versions"] == ["1"]


def test_a_version_that_breaks_its_golden_samples_is_refused_by_the_replica(
    deployment: Deployment, registry: Registry
) -> None:
    with load_on(deployment.url) as answers, pytest.raises(EndpointError, match="differ from the recorded") as caught:
        deployment.update({"mnist": 5})
    assert registry.storage.root not in str(caught.value)
    assert {answer.json()["version"] for answer in answers} == {"1"}
    deployment.update({"mnist": 2})
    deployment.update({"mnist": 1})


def test_a_port_in_use_is_said_before_anything_starts(deployment: Deployment) -> None:
    with pytest.raises(InputError, match="is in use"):
        check_port(deployment.plan.port)


def test_nothing_is_left_after_stop(deployment: Deployment) -> None:
    """The last of this file: it stops the shared endpoint."""
    assert replicas()
    deployment.stop()
    deadline = time.monotonic() + 30
    while replicas() or any(each.name() == "haproxy" for each in psutil.Process().children(recursive=True)):
        assert time.monotonic() < deadline, "processes of the endpoint are left"
    check_port(deployment.plan.port)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", deployment.plan.port)) != 0
