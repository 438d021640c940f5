"""HTTP around the data plane: paths, limits and status codes, and nothing else.

A plain ASGI application with a table of routes: for a picture of a few hundred bytes a framework's own work would
cost more than the model's.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from pydantic_core import to_json

from raytune_app.errors import InputError, MediaError, NotFoundError, RaytuneError, TooLargeError
from serving import binary, playground
from serving.dataplane import DataPlane
from serving.inputs import OCTETS
from serving.protocol import MAX_BODY_BYTES, Answer, error_answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")
TENSORS = (b"content-type", OCTETS.encode())
_TENSORS_HEADER = binary.HEADER.lower().encode()
KEY_HEADER = b"x-session-id"
"""Whom a request is from; the header Ray Serve's own sticky sessions use."""
_log = logging.getLogger("ray.serve")  # so that it lands in Serve's log of this replica


class MethodError(InputError):
    """The path exists, but not for this method."""

    http_status = 405


class Call(NamedTuple):
    """A request before its body is read; `name` and `version` are those of a model's path, else empty."""

    scope: Scope
    receive: Receive
    name: str
    version: str | None


class Request(NamedTuple):
    """What of a request with a body the data plane needs.

    Attributes:
        json_bytes: how much of the body is JSON, if the client said so.
        key: what the client is known by, if it said so; equal keys meet the same version.
    """

    content_type: str
    json_bytes: int | None
    body: bytes
    key: bytes | None


class Reply(NamedTuple):
    """An answer; its Content-Length is added when it is sent."""

    body: bytes
    status: int = 200
    headers: tuple[Header, ...] = (JSON,)


Handler = Callable[[Call], Awaitable[Reply]]
READ, WRITE = ("GET", "HEAD"), ("POST",)
_NONE: tuple[Handler | None, tuple[str, ...]] = (None, ())


class Rest:
    """The ASGI application over one DataPlane.

    Args:
        max_body_bytes: a longer body is refused, by its header where it has one, else as soon as it gets too long.
    """

    def __init__(self, plane: DataPlane, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._plane = plane
        self._max_body_bytes = max_body_bytes
        page = playground.load()
        self._page = Reply(page.body, headers=page.headers)
        self._of_paths: dict[str, tuple[Handler | None, tuple[str, ...]]] = {
            "/": (self._playground, READ),
            "/playground": (self._playground, READ),
            "/v2": (_told(plane.metadata), READ),
            "/v2/": (_told(plane.metadata), READ),
            "/v2/health/live": (_told(plane.live), READ),
            "/v2/health/ready": (_told(plane.ready), READ),
            "/v2/repository/index": (_told(plane.index), ("POST", *READ)),
        }
        self._of_models: dict[str, tuple[Handler, tuple[str, ...]]] = {
            "": (_told_of_model(plane.model_metadata), READ),
            "ready": (_told_of_model(plane.model_ready), READ),
            "infer": (self._infer, WRITE),
            "classify": (self._classify, WRITE),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _send(send, await self._answer(scope, receive))

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        try:
            return await self._route(scope, receive)
        except RaytuneError as error:
            return Reply(error_answer(error), error.http_status)
        except Exception:  # noqa: BLE001  # nothing internal may reach a client
            request_id = uuid.uuid4().hex
            _log.exception("request %s failed", request_id)
            return Reply(to_json({"error": "internal error", "request_id": request_id}), 500)

    async def _route(self, scope: Scope, receive: Receive) -> Reply:
        path = scope["path"]
        name, version, verb = _model_path(path)
        handler, methods = (
            self._of_models[verb] if name and verb in self._of_models else self._of_paths.get(path, _NONE)
        )
        if handler is None:
            raise NotFoundError("no such path", "see GET /v2, /v2/models/NAME and, in a browser, /")
        if scope["method"] not in methods:
            raise MethodError("this path does not take that method", f"use {methods[0]}")
        return await handler(Call(scope, receive, name, version))

    async def _infer(self, call: Call) -> Reply:
        request = await self._request(call)
        return _tensors(await self._plane.infer(call.name, call.version, request.body, request.json_bytes, request.key))

    async def _classify(self, call: Call) -> Reply:
        request = await self._request(call)
        media = request.content_type
        return Reply(await self._plane.classify(call.name, call.version, media, request.body, request.key))

    async def _playground(self, call: Call) -> Reply:
        return self._page

    async def _request(self, call: Call) -> Request:
        """Raises InputError, MediaError, TooLargeError."""
        content_type, json_bytes, key = OCTETS, None, None
        for header, value in call.scope["headers"]:
            if header == b"content-type":
                content_type = value.decode("latin-1")
            elif header == b"content-length" and value.isdigit() and int(value[:20]) > self._max_body_bytes:
                raise self._too_large()
            elif header == _TENSORS_HEADER:
                json_bytes = binary.header_value(value)
            elif header == KEY_HEADER:
                key = value
            elif header == b"content-encoding" and value.lower() != b"identity":
                raise MediaError("compressed bodies are not accepted", "send the body as it is")
        return Request(content_type, json_bytes, await self._read(call.receive), key)

    async def _read(self, receive: Receive) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body_bytes:
                raise self._too_large()
            more = message.get("more_body", False)
        return b"".join(parts)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"the body is over {self._max_body_bytes:,} bytes", "send smaller or fewer examples")


async def _send(send: Send, reply: Reply) -> None:
    headers = [*reply.headers, (b"content-length", str(len(reply.body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _tensors(answer: Answer) -> Reply:
    if answer.json_bytes is None:
        return Reply(answer.body)
    return Reply(answer.body, headers=(TENSORS, (_TENSORS_HEADER, str(answer.json_bytes).encode())))


def _model_path(path: str) -> tuple[str, str | None, str]:
    """`/v2/models/{name}[/versions/{version}][/{verb}]` as (name, version, verb); ("", None, "") for another path."""
    parts = path.rstrip("/").split("/")
    if len(parts) < 4 or parts[1] != "v2" or parts[2] != "models":
        return "", None, ""
    name, rest, version = parts[3], parts[4:], None
    if len(rest) >= 2 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    if len(rest) > 1:
        return "", None, ""
    return name, version, rest[0] if rest else ""


def _told(content: Callable[[], Any]) -> Handler:
    async def handler(call: Call) -> Reply:
        return Reply(to_json(content()))

    return handler


def _told_of_model(content: Callable[[str, str | None], Any]) -> Handler:
    async def handler(call: Call) -> Reply:
        return Reply(to_json(content(call.name, call.version)))

    return handler


async def _lifespan(receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
