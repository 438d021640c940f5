"""Requests on their way in: limits before work, time that runs out, clients that leave, and what answers carry."""

import asyncio
import gzip
import json
import logging
import threading
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from raytune_app.endpoint.keys import Scope, new_key
from raytune_app.errors import BusyError
from serving.door.door import Door
from serving.door.places import Places
from serving.versions.dataplane import DataPlane
from serving.web import asgi
from serving.web.asgi import Entrance, Message, Reader
from serving.web.inflate import Encoding, expanded, inflate
from serving.web.rest import Rest
from serving.wire import jsons
from serving.wire.pictures import Pictures

LIMIT = 1000
INFER = "/v2/models/four/infer"
CLASSIFY = "/v2/models/four/classify"


class Four:
    """A model for pictures of four pixels; waits for `go` and says that it `began`."""

    name = "four"
    version = 3
    inputs = Pictures((1, 2, 2))
    labels: tuple[str, ...] = ("no", "yes")
    example_s = 1.0  # so that it is computed in a thread

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.began = threading.Event()
        self.seen = list[int]()

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.began.set()
        assert self.go.wait(30)
        self.seen += images[:, 0, 0, 0].tolist()
        return np.tile(np.array([0.25, 0.75], np.float32), (len(images), 1))


def application(entrance: Entrance | None = None, model: Four | None = None) -> Rest:
    plane = DataPlane()
    plane.serve(model or Four())
    return Rest(plane, entrance=entrance or Entrance(reader=Reader(LIMIT)))


def ask(app: Rest, method: str = "POST", path: str = CLASSIFY, **request: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint") as client:
            return await client.request(method, path, **request)

    return asyncio.run(run())


class Client:
    """Speaks ASGI by hand: sends the given messages and then nothing more, until it leaves."""

    def __init__(self, *messages: Message, **headers: str) -> None:
        self.sent = list[Message]()
        self.left = asyncio.Event()
        self._messages = list(messages)
        self._headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def ask(self, app: Rest, path: str = CLASSIFY) -> Awaitable[None]:
        scope = {"type": "http", "method": "POST", "path": path, "headers": self._headers}
        return app(scope, self.receive, self.send)


WHOLE = {"type": "http.request", "body": bytes(4), "more_body": False}
PART = {"type": "http.request", "body": bytes(2), "more_body": True}


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_the_same_request(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    tensor = {"name": "pixels", "shape": [1, 1, 2, 2], "datatype": "UINT8", "data": [1, 2, 3, 4]}
    plain = json.dumps({"inputs": [tensor]}).encode()
    app = application()
    packed = ask(app, path=INFER, content=pack(plain), headers={"content-encoding": encoding})
    assert (packed.status_code, packed.content) == (200, ask(app, path=INFER, content=plain).content)


@pytest.mark.parametrize("encoding", [Encoding.GZIP, Encoding.DEFLATE])
def test_what_unfolds_to_the_limit_is_taken_and_one_byte_more_is_not(encoding: Encoding) -> None:
    name, pack = ("gzip", gzip.compress) if encoding is Encoding.GZIP else ("deflate", zlib.compress)
    assert inflate(pack(bytes(LIMIT)), encoding, LIMIT) == bytes(LIMIT)
    headers = {"content-encoding": name}
    answers = [ask(application(), content=pack(bytes(LIMIT + more)), headers=headers) for more in (0, 1)]
    assert [answer.status_code for answer in answers] == [400, 413]
    assert f"{LIMIT:,}" in answers[1].json()["error"]


def test_no_bomb_gets_past_the_room_set_aside_for_it() -> None:
    for size in (1, 1000, 1_000_000):
        packed = zlib.compress(bytes(size), 9)
        assert expanded(len(packed), 10**9) >= size
    assert expanded(10**6, LIMIT) == LIMIT


@pytest.mark.parametrize("body", [b"", b"x", gzip.compress(bytes(4))[:-1], gzip.compress(bytes(4)) + b"x"])
def test_a_broken_or_cut_off_stream_is_refused(body: bytes) -> None:
    answer = ask(application(), content=body, headers={"content-encoding": "gzip"})
    assert (answer.status_code, set(answer.json())) == (400, {"error"})


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "", "9" * 13])
def test_a_timeout_that_is_none_is_refused(value: str) -> None:
    answer = ask(application(), content=bytes(4), headers={"x-request-timeout-ms": value})
    assert answer.status_code == 400


@pytest.mark.parametrize(("server_s", "client_ms"), [(60.0, "20"), (0.02, "600000"), (0.02, None)])
def test_a_client_may_want_an_answer_earlier_but_not_wait_longer(server_s: float, client_ms: str | None) -> None:
    model = Four()
    model.go.clear()
    app = application(Entrance(reader=Reader(LIMIT, server_s)), model)
    headers = {} if client_ms is None else {"x-request-timeout-ms": client_ms}
    threading.Timer(0.5, model.go.set).start()
    answer = ask(app, content=bytes(4), headers=headers)
    assert (answer.status_code, set(answer.json())) == (504, {"error"})


@pytest.mark.parametrize(("timeout_s", "slow_s"), [(0.01, 10.0), (60.0, 0.01)])
def test_a_body_that_does_not_come_gives_its_place_back(
    timeout_s: float, slow_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "SLOW_S", slow_s)

    async def run() -> tuple[Client, Places]:
        entrance = Entrance(reader=Reader(LIMIT, timeout_s))
        client = Client(PART)
        await client.ask(application(entrance))
        return client, entrance.places

    client, places = asyncio.run(run())
    assert client.sent[0]["status"] == 408
    assert (places.requests, places.bytes) == (0, 0)


def test_a_client_that_leaves_within_its_body_is_not_taken_for_its_end() -> None:
    async def run() -> tuple[Client, Places, Four]:
        entrance, model, client = Entrance(reader=Reader(LIMIT)), Four(), Client(PART, PART)
        client.left.set()  # after four bytes, which would be a picture
        await client.ask(application(entrance, model))
        return client, entrance.places, model

    client, places, model = asyncio.run(run())
    assert (client.sent, model.seen) == ([], [])
    assert (places.requests, places.bytes) == (0, 0)


def test_a_client_that_leaves_while_it_waits_frees_its_place_and_is_not_computed() -> None:
    async def run() -> tuple[Client, Places, Four]:
        entrance, model = Entrance(reader=Reader(LIMIT)), Four()
        model.go.clear()
        app = application(entrance, model)
        first, second = Client(WHOLE), Client({**WHOLE, "body": bytes([9, 0, 0, 0])})
        tasks = [asyncio.ensure_future(first.ask(app))]
        await asyncio.to_thread(model.began.wait)
        tasks.append(asyncio.ensure_future(second.ask(app)))
        await asyncio.sleep(0.05)
        assert entrance.places.requests == 2
        second.left.set()
        await tasks[1]
        assert entrance.places.requests == 1
        model.go.set()
        await tasks[0]
        await asyncio.sleep(0.05)
        assert first.sent[0]["status"] == 200
        return second, entrance.places, model

    client, places, model = asyncio.run(run())
    assert client.sent == []
    assert model.seen == [0]
    assert (places.requests, places.bytes) == (0, 0)


def test_one_request_more_than_there_are_places_is_told_to_come_back() -> None:
    async def run() -> list[Client]:
        entrance, model = Entrance(places=Places(max_requests=2)), Four()
        model.go.clear()
        app, clients = application(entrance, model), [Client(WHOLE) for _ in range(3)]
        tasks = [asyncio.ensure_future(client.ask(app)) for client in clients]
        await tasks[2]
        model.go.set()
        await asyncio.gather(*tasks)
        return clients

    clients = asyncio.run(run())
    assert [client.sent[0]["status"] for client in clients] == [200, 200, 503]
    assert (b"retry-after", b"1") in clients[2].sent[0]["headers"]
    assert set(json.loads(clients[2].sent[1]["body"])) == {"error"}


@pytest.mark.parametrize(("room", "status"), [(4, 200), (3, 503)])
def test_bytes_are_counted_as_they_come(room: int, status: int) -> None:
    places = Places(max_bytes=room, free_bytes=0)
    answer = ask(application(Entrance(places=places)), content=bytes(4))
    assert answer.status_code == status
    assert (places.requests, places.bytes) == (0, 0)


def test_large_bodies_that_fill_the_room_do_not_keep_small_ones_out() -> None:
    places = Places(max_bytes=10, free_bytes=4)
    with places.take() as large, places.take() as small, places.take() as other:
        large.grow(14)
        small.grow(4)
        assert places.bytes == 10
        with pytest.raises(BusyError):
            other.grow(5)
        large.grow(-12)
        assert places.bytes == 0
        other.grow(5)
    assert (places.requests, places.bytes) == (0, 0)


def test_health_needs_no_place() -> None:
    app = application(Entrance(places=Places(max_requests=0)))
    assert ask(app, "GET", "/v2/health/live").status_code == 200
    assert ask(app, content=bytes(4)).status_code == 503


@pytest.mark.parametrize(
    ("sign", "limit", "what"),
    [
        (b",", jsons.MAX_ELEMENTS - 1, "elements"),
        (b"[", jsons.MAX_LISTS, "lists"),
        (b"{", jsons.MAX_OBJECTS, "objects"),
    ],
)
def test_json_of_more_parts_than_may_be_is_refused_unparsed(sign: bytes, limit: int, what: str) -> None:
    filler = b" " * jsons.LOOK_FROM_BYTES
    at, over = (ask(application(Entrance()), path=INFER, content=filler + sign * (limit + more)) for more in (0, 1))
    assert at.status_code == 400
    assert over.status_code == 413
    assert what in over.json()["error"]


def test_json_may_be_so_deep_and_no_deeper() -> None:
    texts = [b"[" * depth + b"]" * depth for depth in (jsons.MAX_DEPTH, jsons.MAX_DEPTH + 1)]
    at, over = (ask(application(), path=INFER, content=text).json()["error"] for text in texts)
    assert "must be a JSON object" in at
    assert "recursion" in over


def test_the_weight_of_json_is_at_least_what_it_becomes() -> None:
    assert jsons.json_weight(b"[" + b"[]," * 1000 + b"1]") >= 1000 * (56 + 8)
    assert jsons.json_weight(b"," * 10**7) == jsons.json_weight(b"," * (2 * 10**7))  # no more than is let through


@pytest.mark.parametrize(
    ("given", "echoed"), [("abc-1.2:3_", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("<x>", False)]
)
def test_every_answer_carries_the_id_of_its_request(given: str, echoed: bool) -> None:
    for path, status in ((CLASSIFY, 200), (INFER, 400), ("/nothing", 404)):
        answer = ask(application(), path=path, content=bytes(4), headers={"x-request-id": given})
        assert answer.status_code == status
        assert (answer.headers["x-request-id"] == given) == echoed
        assert len(answer.headers["x-request-id"]) > 8
    ids = {ask(application(), "GET", "/v2").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_fault_is_logged_under_the_id_that_its_answer_carries(caplog: pytest.LogCaptureFixture) -> None:
    model = Four()
    model.labels = ("too", "few", "columns")
    with caplog.at_level(logging.ERROR):
        answer = ask(application(model=model), content=bytes(4), headers={"x-request-id": "mine-1"})
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error", "request_id": "mine-1"})
    assert "mine-1" in caplog.text
    assert "Traceback" in caplog.text


def test_keys_over_http(tmp_path: Path) -> None:
    infer, file = new_key(tmp_path / "keys", "phone", Scope.INFER, "1/h"), tmp_path / "keys"
    app = application(Entrance(Door(file)))
    for path in ("/", "/playground", "/v2/health/live", "/v2/health/ready", "/v2/models/four/ready"):
        assert ask(app, "GET", path).status_code == 200
    for path in ("/v2", "/v2/models/four", "/v2/traffic", "/metrics", "/v2/models/nobody"):
        assert ask(app, "GET", path).status_code == 401
    refused = ask(app, content=bytes(4), headers={"authorization": "Bearer wrong"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    first, second = (ask(app, content=bytes(4), headers={"x-api-key": infer}) for _ in range(2))
    assert first.status_code == 200
    assert second.status_code == 429
    assert 3590 <= int(second.headers["retry-after"]) <= 3600


def test_nobody_without_a_key_has_a_body_read(tmp_path: Path) -> None:
    new_key(tmp_path / "keys", "phone", Scope.INFER)
    app, client = application(Entrance(Door(tmp_path / "keys"))), Client(WHOLE)
    asyncio.run(_as_coroutine(client.ask(app)))
    assert client.sent[0]["status"] == 401
    assert client._messages == [WHOLE]


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work
