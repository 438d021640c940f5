"""Everything a stranger may try, against one served deployment: health stays 200 and memory stays bounded."""

import gzip
import http.client
import json
import random
import resource
import socket
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from raytune_app.cluster import Cluster
from raytune_app.endpoint.deployment import Deployment, deploy
from raytune_app.endpoint.fastpath import free_ports
from raytune_app.endpoint.keys import Scope, new_key
from raytune_app.endpoint.lock import Lock
from raytune_app.registry import Draft, Registry
from raytune_app.storage import Storage
from serving.door.places import MAX_BYTES, MAX_REQUESTS
from serving.web.multipart import MAX_PARTS
from serving.wire.jsons import MAX_DEPTH
from serving.wire.pictures import MAX_PICTURES
from serving.wire.protocol import MAX_BODY_BYTES
from serving.wire.texts import MAX_TEXT_BYTES

CONNECTIONS = 10_000
CLASSIFY, INFER = "/v2/models/mnist/classify", "/v2/models/mnist/infer"
PIXELS = bytes(784)

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(180)]


class Watch:
    """Asks for health on a connection of its own and looks at the replica's memory, over and over."""

    def __init__(self, url: str) -> None:
        self.answers = list[int]()
        self.faults = list[str]()
        self.replica = next(p for p in psutil.Process().children(recursive=True) if "ServeReplica" in p.name())
        self.before = self.peak = self.replica.memory_info().rss
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            try:
                self.answers.append(httpx.get(f"{self._url}/v2/health/ready", timeout=10, trust_env=False).status_code)
            except httpx.HTTPError as error:
                self.faults.append(repr(error))
            self.peak = max(self.peak, self.replica.memory_info().rss)

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    file = tmp_path_factory.mktemp("keys") / "keys"
    infer, admin = new_key(file, "infer", Scope.INFER), new_key(file, "admin", Scope.ADMIN)
    return {"file": str(file), "infer": infer, "admin": admin, "slow": new_key(file, "slow", Scope.INFER, "2/h")}


@pytest.fixture(scope="module")
def deployment(
    ray_cluster: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
    make_draft: Callable[..., Draft],
    make_text_draft: Callable[..., Draft],
    keys: dict[str, str],
) -> Iterator[Deployment]:
    registry = Registry(Storage(str(tmp_path_factory.mktemp("registry"))))
    registry.register("mnist", make_draft())
    registry.register("tone", make_text_draft())
    models, port = {"mnist": 1, "tone": 1}, free_ports(1)[0]
    lock = Lock(Path(keys["file"]), timeout_s=20)
    with deploy(ray_cluster, models, registry.storage.uri, port=port, lock=lock) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def watch(deployment: Deployment) -> Iterator[Watch]:
    watch = Watch(deployment.url)
    yield watch
    watch.end()


@pytest.fixture
def client(deployment: Deployment, watch: Watch, keys: dict[str, str]) -> Iterator[httpx.Client]:
    """Afterwards an honest request is answered."""
    headers = {"authorization": f"Bearer {keys['infer']}"}
    with httpx.Client(base_url=deployment.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client
        assert client.post(CLASSIFY, content=PIXELS).status_code == 200


def connect(deployment: Deployment) -> socket.socket:
    return socket.create_connection(("127.0.0.1", deployment.plan.port), timeout=30)


def answer_on(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = list[bytes]()
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def first_on(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of the first answer; nothing waits for the other side to close."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


def head(keys: dict[str, str], length: int, *more: str) -> bytes:
    lines = [f"POST {CLASSIFY} HTTP/1.1", "host: x", f"x-api-key: {keys['infer']}", f"content-length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def png(width: int, height: int) -> bytes:
    """All black, so a thousand times smaller than what it unfolds to."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes((width + 1) * height), 9)
    chunks = (header, data, b"IEND")
    parts = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tensor(count: object, **more: object) -> dict[str, object]:
    return {"name": "x", "shape": [count, 1, 28, 28], "datatype": "UINT8", **more}


def test_strangers_are_kept_out_and_keys_do_what_they_say(
    client: httpx.Client, deployment: Deployment, keys: dict[str, str]
) -> None:
    load, nobody = "/v2/repository/models/mnist/load", {"authorization": ""}
    forged = {**nobody, "x-forwarded-for": "127.0.0.1", "forwarded": "for=127.0.0.1", "x-real-ip": "127.0.0.1"}
    assert client.post(CLASSIFY, content=PIXELS, headers=forged).status_code == 401
    assert client.get("/v2", headers=nobody).status_code == 401
    assert client.get("/", headers=nobody).status_code == 200
    assert client.post(load, content=b"{}").status_code == 403
    assert client.post(load, content=b"{}", headers=forged).status_code == 401
    admin = {"authorization": f"Bearer {keys['admin']}"}
    assert client.post(load, content=b"{}", headers=admin).status_code == 200
    slow = {"authorization": f"Bearer {keys['slow']}"}
    answers = [client.post(CLASSIFY, content=PIXELS, headers=slow) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["retry-after"]) > 1000


def test_each_limit_has_its_status_and_a_sentence(client: httpx.Client) -> None:
    length, tone = "inference-header-content-length", "/v2/models/tone/classify"
    whole = json.dumps({"inputs": [tensor(1, parameters={"binary_data_size": 784})]}).encode()
    form = [("f", ("a.png", png(28, 28), "image/png"))] * (MAX_PARTS + 1)
    answers = {
        "body": (client.post(INFER, content=bytes(MAX_BODY_BYTES + 1)), 413),
        "depth": (client.post(INFER, content=b"[" * (MAX_DEPTH + 1)), 400),
        "lists": (client.post(INFER, content=b"[" + b"[]," * 10_000_000 + b"1]"), 413),
        "batch": (client.post(INFER, json={"inputs": [tensor(MAX_PICTURES + 1, data=[0])]}), 413),
        "overflow": (client.post(INFER, json={"inputs": [tensor(2**62, data=[0])]}), 400),
        "negative": (client.post(INFER, json={"inputs": [tensor(-1, data=[0])]}), 400),
        "too few": (client.post(INFER, json={"inputs": [tensor(MAX_PICTURES, data=[0])]}), 400),
        "binary size": (client.post(INFER, content=whole + bytes(783), headers={length: str(len(whole))}), 400),
        "header length": (client.post(INFER, content=whole, headers={length: "9" * 10}), 400),
        "text": (client.post(tone, content=b"a" * (MAX_TEXT_BYTES + 1)), 413),
        "pixels": (client.post(CLASSIFY, content=png(4097, 1)), 413),
        "parts": (client.post(CLASSIFY, files=form), 413),
        "parts' pixels": (client.post(CLASSIFY, files=[("f", ("a", png(4096, 3906), "image/png"))] * 5), 413),
        "encoding": (client.post(INFER, content=b"x", headers={"content-encoding": "br"}), 415),
        "model": (client.post("/v2/models/nobody/infer", content=b"{}"), 404),
    }
    assert {name: answer.status_code for name, (answer, _) in answers.items()} == {
        name: status for name, (_, status) in answers.items()
    }
    assert all(set(answer.json()) == {"error"} for answer, _ in answers.values())
    assert all(answer.headers["x-request-id"] for answer, _ in answers.values())
    assert "Traceback" not in "".join(answer.text for answer, _ in answers.values())


def test_several_pictures_in_one_request(client: httpx.Client) -> None:
    answer = client.post(CLASSIFY, files=[("f", ("a.png", png(28, 28), "image/png"))] * MAX_PARTS)
    assert len(answer.json()["answers"]) == MAX_PARTS


def test_gzip_bombs(client: httpx.Client) -> None:
    bomb, headers = gzip.compress(bytes(MAX_BODY_BYTES + 1)), {"content-encoding": "gzip"}
    assert len(bomb) < 40_000
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.post(INFER, content=bomb, headers=headers), range(24)))
    assert {answer.status_code for answer in answers} <= {413, 503}
    assert client.post(CLASSIFY, content=gzip.compress(PIXELS), headers=headers).status_code == 200


def test_png_bombs(client: httpx.Client) -> None:
    largest, larger = png(4096, 3906), png(4096, 3907)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda bomb: client.post(CLASSIFY, content=bomb), [largest, larger] * 8))
    assert {answer.status_code for answer in answers[::2]} == {200}
    assert {answer.status_code for answer in answers[1::2]} == {413}


def test_more_bytes_at_once_than_there_is_room_for(
    client: httpx.Client, deployment: Deployment, keys: dict[str, str]
) -> None:
    """Bodies that lack their last byte fill the room; then the next is told to come back, and health is not."""
    count, body = MAX_BYTES // MAX_BODY_BYTES + 2, bytes(MAX_BODY_BYTES - 1)

    def send(connection: socket.socket) -> bytes:
        with suppress(ConnectionError):
            connection.sendall(head(keys, MAX_BODY_BYTES))
            connection.sendall(body)
            connection.settimeout(1)
        with suppress(TimeoutError, ConnectionError):
            return connection.recv(65_536)
        return b""

    with ExitStack() as stack:
        connections = [stack.enter_context(connect(deployment)) for _ in range(count)]
        with ThreadPoolExecutor(count) as pool:
            answers = list(pool.map(send, connections))
    refused = [answer for answer in answers if answer]
    assert refused
    assert all(b" 503 " in answer.partition(b"\r\n")[0] for answer in refused)
    assert all(b"retry-after: 1" in answer.lower() for answer in refused)


def test_random_bytes_and_requests_that_are_none(client: httpx.Client, deployment: Deployment) -> None:
    noise = random.Random(0)
    for size in [1, 10, 100, 1000, 100_000] * 10:
        with connect(deployment) as connection:
            with suppress(OSError):
                connection.sendall(noise.randbytes(size) + b"\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
            answer = answer_on(connection)
        assert not answer or b" 400 " in answer.partition(b"\r\n")[0]
    for _ in range(50):
        body = noise.randbytes(2000)
        assert client.post(noise.choice([INFER, CLASSIFY]), content=body).status_code in (400, 413)


def test_header_floods(client: httpx.Client, deployment: Deployment, keys: dict[str, str]) -> None:
    for more in (["x: y"] * 1000, ["x: " + "y" * 100_000], [f"{'x' * 20_000}: y"]):
        with connect(deployment) as connection:
            with suppress(ConnectionError):
                connection.sendall(head(keys, 0, *more))
            answer = answer_on(connection)
        assert not answer or b" 400 " in answer.partition(b"\r\n")[0]


def test_half_requests_and_clients_that_leave(
    client: httpx.Client, deployment: Deployment, keys: dict[str, str]
) -> None:
    for number in range(1000):
        with connect(deployment) as connection:
            connection.sendall(head(keys, 784) + bytes(784 if number % 2 else 10))


def test_slow_clients(client: httpx.Client, deployment: Deployment, keys: dict[str, str]) -> None:
    """Slow headers and small bodies never reach the replica; large ones take a place until they are found too slow."""
    starts = {
        "headers": (200, head(keys, 784)[:-4]),
        "small body": (200, head(keys, 784) + bytes(100)),
        "large body": (2 * MAX_REQUESTS, head(keys, 10**6) + bytes(50_000)),
    }
    with ExitStack() as stack:
        slow = {name: [stack.enter_context(connect(deployment)) for _ in range(n)] for name, (n, _) in starts.items()}
        for name, connections in slow.items():
            for connection in connections:
                connection.sendall(starts[name][1])
        answers = {name: [first_on(connection) for connection in connections] for name, connections in slow.items()}
    assert {status for status, _ in answers["headers"]} == {408}
    assert {status for status, _ in answers["small body"]} == {408}
    assert Counter(status for status, _ in answers["large body"]) == {408: MAX_REQUESTS, 503: MAX_REQUESTS}
    assert all(set(json.loads(body)) == {"error"} for name in starts if name != "headers" for _, body in answers[name])


def test_ten_thousand_connections(client: httpx.Client, deployment: Deployment, keys: dict[str, str]) -> None:
    """As many as this process may open; it may be allowed fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as stack:
            count = min(CONNECTIONS, hard - psutil.Process().num_fds() - 100)
            opened = [stack.enter_context(connect(deployment)) for _ in range(count)]
            assert client.post(CLASSIFY, content=PIXELS).status_code == 200
            for connection in opened[::10]:
                connection.sendall(head(keys, 784) + PIXELS)
            statuses = {first_on(connection)[0] for connection in opened[::10]}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert count == CONNECTIONS or count > hard // 2
    assert statuses <= {200, 503}


def test_health_was_200_throughout_and_memory_bounded(client: httpx.Client, watch: Watch) -> None:
    """The last of this file."""
    watch.end()
    assert watch.faults == []
    assert set(watch.answers) == {200}
    assert len(watch.answers) > 50
    print(f"memory {watch.before / 2**20:.0f} MiB, at most {watch.peak / 2**20:.0f} MiB")  # noqa: T201  # for the log
    assert watch.peak - watch.before < 2 * MAX_BYTES
