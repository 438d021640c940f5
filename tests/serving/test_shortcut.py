"""The short cuts change how an answer travels, and nothing of what arrives."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl

from serving.web import shortcut
from serving.web.asgi import Receive, Scope, Send


@pytest.fixture(params=[False, True], ids=["usual", "shortened"])
def one_write(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(httptools_impl.RequestResponseCycle, "send", httptools_impl.RequestResponseCycle.send)
    if request.param:
        shortcut.answer_in_one_write()
    return bool(request.param)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """What the path says: an answer of known length, one in parts, a failure before, between and after."""
    headers = [(b"content-type", b"text/plain")]
    match scope["path"]:
        case "/fails":
            raise RuntimeError("before anything was sent")
        case "/fails-between":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            raise RuntimeError("before a body")
        case "/parts":
            await send({"type": "http.response.start", "status": 201, "headers": headers})
            for part in (b"a", b"bc", b""):
                await asyncio.sleep(0)
                await send({"type": "http.response.body", "body": part, "more_body": bool(part)})
        case _:
            headers.append((b"content-length", b"5"))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b"hello"})


def served(ask: Callable[[int], Awaitable[None]]) -> None:
    async def run() -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            config = uvicorn.Config(application, http="httptools", lifespan="off", log_level="critical")
            server = uvicorn.Server(config)
            task = asyncio.create_task(server.serve(sockets=[listening]))
            while not server.started:  # noqa: ASYNC110  # uvicorn tells no other way
                await asyncio.sleep(0.01)
            await ask(listening.getsockname()[1])
            server.should_exit = True
            await task

    asyncio.run(run())


@pytest.mark.usefixtures("one_write")
def test_every_kind_of_answer_arrives_as_it_would() -> None:
    async def ask(port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for _ in range(2):  # over one kept connection
                answer = await client.get("/")
                assert (answer.status_code, answer.content) == (200, b"hello")
            head = await client.head("/")
            assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "5")
            parts = await client.get("/parts")
            assert (parts.status_code, parts.content) == (201, b"abc")
            closed = await client.get("/", headers={"connection": "close"})
            assert closed.content == b"hello"
            assert (await client.get("/fails")).status_code == 500

    served(ask)


def test_an_answer_is_written_at_once_and_a_failure_before_its_body_is_a_500(one_write: bool) -> None:
    async def ask(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        first = await reader.read(10_000)
        assert first.endswith(b"hello") or not one_write
        writer.close()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            if one_write:
                assert (await client.get("/fails-between")).status_code == 500
            else:
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get("/fails-between")

    served(ask)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own, at its import
def test_a_request_for_the_protocol_goes_straight_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve._private import http_util

    went, counts = list[str](), list[int]()

    class Metrics:
        def inc_num_ongoing_requests(self, _: object) -> None:
            counts.append(1)

        def dec_num_ongoing_requests(self, _: object) -> None:
            counts.append(-1)

    class Replica:
        _metrics_manager = Metrics()

        async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
            went.append(f"usual {scope['path']}")

    async def ours(scope: Scope, receive: Receive, send: Send) -> None:
        went.append(f"straight {scope['path']}")
        if scope["path"].endswith("fails"):
            raise RuntimeError

    monkeypatch.setattr(http_util, "_apply_middlewares", lambda app, _: app)
    shortcut.straight_to(ours)
    app = http_util._apply_middlewares(Replica().serve, [])

    async def nothing(*_: object) -> None: ...

    for path in ("/v2/models/m/infer", "/-/healthz", "/v2/models/m/fails"):
        try:
            asyncio.run(app({"type": "http", "path": path}, nothing, nothing))
        except RuntimeError:
            counts.append(0)
    assert went == ["straight /v2/models/m/infer", "usual /-/healthz", "straight /v2/models/m/fails"]
    assert counts == [1, -1, 1, -1, 0]
    assert http_util._apply_middlewares(nothing, []) is nothing
