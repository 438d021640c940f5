"""Clients of the protocol as they are, against one endpoint of real processes: HTTP and gRPC, sync and async."""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from safetensors.numpy import load
from tritonclient.utils import InferenceServerException

from raytune_app.cluster import Cluster
from raytune_app.data.arrays import Arrays
from raytune_app.data.catalog import load_test
from raytune_app.endpoint.deployment import Deployment, deploy
from raytune_app.endpoint.fastpath import free_ports
from raytune_app.endpoint.plan import check_port
from raytune_app.registry import Draft, Registry
from raytune_app.spec.grammar import DataSpec
from raytune_app.storage import Storage

MakeDraft = Callable[..., Draft]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, make_draft: MakeDraft, make_text_draft: MakeDraft) -> Registry:
    """A model of pictures and one of texts."""
    registry = Registry(Storage(str(tmp_path_factory.mktemp("registry"))))
    registry.register("mnist", make_draft())
    registry.register("tone", make_text_draft())
    return registry


@pytest.fixture(scope="module")
def deployment(ray_cluster: Cluster, registry: Registry) -> Iterator[Deployment]:
    """Two processes: one cannot answer for the other's mistakes, and both share the ports."""
    port, grpc_port = free_ports(2)
    models = {"mnist": 1, "tone": 1}
    with deploy(ray_cluster, models, registry.storage.uri, port=port, grpc_port=grpc_port, replicas=2) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def golden(registry: Registry) -> dict[str, Any]:
    """What each model takes, and the probabilities recorded when it was registered."""
    pictures = load(registry.find("mnist@1").read()["golden.safetensors"])
    texts = load(registry.find("tone@1").read()["golden.safetensors"])
    ends, utf8 = texts["offsets"].tolist(), texts["utf8"].tobytes()
    strings = np.array([utf8[start:end] for start, end in itertools.pairwise(ends)], np.object_)
    return {
        "mnist": ("pixels", "UINT8", pictures["inputs"], pictures["probabilities"]),
        "tone": ("text", "BYTES", strings, texts["probabilities"]),
    }


def http_url(deployment: Deployment) -> str:
    return f"127.0.0.1:{deployment.plan.port}"


def grpc_url(deployment: Deployment) -> str:
    return f"127.0.0.1:{deployment.plan.grpc_port}"


def tensor_of(library: Any, name: str, datatype: str, values: np.ndarray) -> Any:
    tensor = library.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def is_recorded(found: Any, probabilities: np.ndarray) -> bool:
    """The probabilities are the recorded ones but for the last bits, and the index and the label are theirs."""
    index = probabilities.argmax(axis=1)
    labels = found.as_numpy("label").tolist()
    assert np.allclose(found.as_numpy("probabilities"), probabilities, atol=1e-6)
    assert found.as_numpy("index").tolist() == index.tolist()
    return len(labels) == len(index) and all(isinstance(label, bytes) for label in labels)


@pytest.mark.parametrize("model", ["mnist", "tone"])
def test_the_http_client_infers_with_its_defaults(deployment: Deployment, golden: dict[str, Any], model: str) -> None:
    name, datatype, values, probabilities = golden[model]
    with tritonclient.http.InferenceServerClient(http_url(deployment)) as client:
        found = client.infer(model, [tensor_of(tritonclient.http, name, datatype, values)], request_id="7")
        assert is_recorded(found, probabilities)
        response = found.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("7", model, "1")
    assert all("binary_data_size" in output["parameters"] for output in response["outputs"])


@pytest.mark.parametrize("model", ["mnist", "tone"])
def test_the_http_client_infers_in_json(deployment: Deployment, golden: dict[str, Any], model: str) -> None:
    name, datatype, values, probabilities = golden[model]
    tensor = tritonclient.http.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=False)
    outputs = [
        tritonclient.http.InferRequestedOutput(each, binary_data=False) for each in ("probabilities", "index", "label")
    ]
    with tritonclient.http.InferenceServerClient(http_url(deployment)) as client:
        found = client.infer(model, [tensor], outputs=outputs)
    assert np.allclose(found.as_numpy("probabilities"), probabilities, atol=1e-6)
    assert found.as_numpy("index").tolist() == probabilities.argmax(axis=1).tolist()


@pytest.mark.parametrize("model", ["mnist", "tone"])
def test_the_grpc_client_infers_with_its_defaults(deployment: Deployment, golden: dict[str, Any], model: str) -> None:
    name, datatype, values, probabilities = golden[model]
    with tritonclient.grpc.InferenceServerClient(grpc_url(deployment)) as client:
        found = client.infer(model, [tensor_of(tritonclient.grpc, name, datatype, values)], model_version="1")
    assert is_recorded(found, probabilities)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_the_async_clients_infer_side_by_side(deployment: Deployment, golden: dict[str, Any], kind: str) -> None:
    library = {"http": tritonclient.http, "grpc": tritonclient.grpc}[kind]
    url = {"http": http_url, "grpc": grpc_url}[kind](deployment)

    async def run() -> list[Any]:
        async with library.aio.InferenceServerClient(url) as client:
            assert await client.is_server_live()
            calls = [client.infer(model, [tensor_of(library, *golden[model][:3])]) for model in ("mnist", "tone") * 8]
            return await asyncio.gather(*calls)

    for found, model in zip(asyncio.run(run()), ("mnist", "tone") * 8, strict=True):
        assert is_recorded(found, golden[model][3])


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_what_clients_ask_before_they_infer_is_answered(deployment: Deployment, kind: str) -> None:
    library = {"http": tritonclient.http, "grpc": tritonclient.grpc}[kind]
    url = {"http": http_url, "grpc": grpc_url}[kind](deployment)
    told: dict[str, Any] = {} if kind == "http" else {"as_json": True}
    with library.InferenceServerClient(url) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("mnist", "1")
        assert not client.is_model_ready("nobody")
        assert "binary_tensor_data" in client.get_server_metadata(**told)["extensions"]
        assert client.get_model_metadata("mnist", **told)["inputs"][0]["name"] == "pixels"
        config = client.get_model_config("mnist", **told)
        index = client.get_model_repository_index(**told)
        statistics = client.get_inference_statistics("tone", **told)["model_stats"]
    assert config.get("config", config)["max_batch_size"] == 1024
    assert [each["name"] for each in (index if kind == "http" else index["models"])] == ["mnist", "tone"]
    assert [(each["name"], each["version"]) for each in statistics] == [("tone", "1")]


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_the_most_probable_classes_come_ranked(deployment: Deployment, golden: dict[str, Any], kind: str) -> None:
    library = {"http": tritonclient.http, "grpc": tritonclient.grpc}[kind]
    url = {"http": http_url, "grpc": grpc_url}[kind](deployment)
    name, datatype, values, probabilities = golden["mnist"]
    outputs = [library.InferRequestedOutput("probabilities", class_count=3)]
    with library.InferenceServerClient(url) as client:
        found = client.infer("mnist", [tensor_of(library, name, datatype, values)], outputs=outputs)
    best = [[int(each.split(b":")[1]) for each in row] for row in found.as_numpy("probabilities")]
    assert best == np.argsort(-probabilities, axis=1, kind="stable")[:, :3].tolist()


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_clients_are_told_what_is_wrong(deployment: Deployment, kind: str) -> None:
    library = {"http": tritonclient.http, "grpc": tritonclient.grpc}[kind]
    url = {"http": http_url, "grpc": grpc_url}[kind](deployment)
    good = tensor_of(library, "pixels", "UINT8", np.zeros((1, 1, 28, 28), np.uint8))
    wrong = tensor_of(library, "pixels", "UINT8", np.zeros((1, 28, 28), np.uint8))
    with library.InferenceServerClient(url) as client:
        with pytest.raises(InferenceServerException, match="no model 'nobody' here") as missing:
            client.infer("nobody", [good])
        with pytest.raises(InferenceServerException, match=r"\[N, 1, 28, 28\]") as shape:
            client.infer("mnist", [wrong])
    expected = {"http": ("404", "400"), "grpc": ("StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT")}[kind]
    assert (missing.value.status(), shape.value.status()) == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kserves_client_works_in_every_form(deployment: Deployment, golden: dict[str, Any], tmp_path: Path) -> None:
    """In an environment of its own, which is made here: what it needs does not go with what we need."""
    uv, python = Path(sys.executable).with_name("uv"), tmp_path / "kserve" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, python.parents[1]], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "kserve==0.21.0"], check=True)
    _, _, images, probabilities = golden["mnist"]
    np.save(tmp_path / "images.npy", images)
    program = Path(__file__).with_name("kserve_client.py")
    arguments = [deployment.url, grpc_url(deployment), str(tmp_path / "images.npy")]
    run = subprocess.run([str(python), str(program), *arguments], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found.pop("health") == [True] * 6
    index = probabilities.argmax(axis=1).tolist()
    assert len(found) == 5
    for form, answered in found.items():
        assert answered == ["k1", index, f"class {index[0]}"], form


def test_grpc_listens_where_http_does(deployment: Deployment) -> None:
    listening = [
        each.laddr.ip.removeprefix("::ffff:")  # an IPv4 address in a socket that could take both
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == deployment.plan.grpc_port
    ]
    assert listening == ["127.0.0.1"] * deployment.plan.replicas


# --- one answer, however it is asked for -------------------------------------------------------------------------


def by_json(deployment: Deployment, images: np.ndarray) -> list[int]:
    tensor = {"name": "pixels", "shape": list(images.shape), "datatype": "UINT8", "data": images.ravel().tolist()}
    request = {"inputs": [tensor], "outputs": [{"name": "index"}]}
    answer = httpx.post(f"{deployment.url}/v2/models/mnist/infer", json=request, timeout=60)
    return list(answer.json()["outputs"][0]["data"])


def by_binary(deployment: Deployment, images: np.ndarray) -> list[int]:
    with tritonclient.http.InferenceServerClient(http_url(deployment)) as client:
        found = client.infer("mnist", [tensor_of(tritonclient.http, "pixels", "UINT8", images)])
    return list(found.as_numpy("index").tolist())


def by_grpc(deployment: Deployment, images: np.ndarray) -> list[int]:
    with tritonclient.grpc.InferenceServerClient(grpc_url(deployment)) as client:
        found = client.infer("mnist", [tensor_of(tritonclient.grpc, "pixels", "UINT8", images)])
    return list(found.as_numpy("index").tolist())


def by_classify(deployment: Deployment, images: np.ndarray) -> list[int]:
    with httpx.Client(base_url=deployment.url) as client, ThreadPoolExecutor(8) as pool:

        def one(image: np.ndarray) -> int:
            return int(json.loads(client.post("/v2/models/mnist/classify", content=image.tobytes()).content)["index"])

        return list(pool.map(one, images))


@pytest.mark.parametrize("count", [256, pytest.param(10_000, marks=pytest.mark.slow)])
def test_every_way_to_ask_gives_the_offline_answer(deployment: Deployment, registry: Registry, count: int) -> None:
    from serving.versions.predictor import Predictor

    test = load_test(DataSpec(name="mnist"), [str(digit) for digit in range(10)])
    assert isinstance(test, Arrays)
    images = test.images[:count]
    predictor = Predictor.load(registry.storage.uri, "mnist", 1)
    offline = predictor.predict(images).argmax(axis=1).tolist()
    for ask in (by_json, by_binary, by_grpc):
        parts = [ask(deployment, images[start : start + 512]) for start in range(0, count, 512)]
        assert list(itertools.chain(*parts)) == offline, ask.__name__
    assert by_classify(deployment, images) == offline


def test_the_ports_are_free_after_stop(deployment: Deployment) -> None:
    """The last of this file: it stops the shared endpoint."""
    deployment.stop()
    port, deadline = deployment.plan.grpc_port, time.monotonic() + 30
    while port in {each.laddr.port for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN}:
        assert time.monotonic() < deadline, "somebody still listens for gRPC"
        time.sleep(0.1)
    assert port is not None
    check_port(port)
