"""HTTP around the data plane: paths, limits and status codes, and nothing else.

A plain ASGI application with a table of routes: for a picture of a few hundred bytes a framework's own work would
cost more than the model's.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pydantic_core import to_json

from raytune_app.errors import InputError, MediaError, NotFoundError, RaytuneError, TooLargeError
from serving.dataplane import OCTETS, DataPlane
from serving.protocol import MAX_BODY_BYTES, error_answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
_log = logging.getLogger("raytune.serving")


class MethodError(InputError):
    """The path exists, but not for this method."""

    http_status = 405


class Rest:
    """The ASGI application over one DataPlane.

    Args:
        max_body_bytes: a longer body is refused, by its header where it has one, else as soon as it gets too long.
    """

    def __init__(self, plane: DataPlane, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._plane = plane
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _send(send, *await self._answer(scope, receive))

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        try:
            return 200, await self._route(scope, receive)
        except RaytuneError as error:
            return error.http_status, error_answer(error)
        except Exception:  # noqa: BLE001  # nothing internal may reach a client
            request_id = uuid.uuid4().hex
            _log.exception("request %s failed", request_id)
            return 500, to_json({"error": "internal error", "request_id": request_id})

    async def _route(self, scope: Scope, receive: Receive) -> bytes:
        name, version, verb = _model_path(scope["path"])
        if verb in ("infer", "classify"):
            _require(scope, "POST")
            media, body = await self._body(scope, receive)
            if verb == "classify":
                return await self._plane.classify(name, version, media, body)
            return await self._plane.infer(name, version, body)
        _require(scope, "GET", "HEAD")
        return to_json(self._information(scope["path"], name, version, verb))

    def _information(self, path: str, name: str, version: str | None, verb: str) -> dict[str, Any]:
        plane = self._plane
        match path.rstrip("/"):
            case "/v2":
                return plane.metadata()
            case "/v2/health/live":
                return plane.live()
            case "/v2/health/ready":
                return plane.ready()
        if name and verb == "ready":
            return plane.model_ready(name, version)
        if name and not verb:
            return plane.model_metadata(name, version)
        raise NotFoundError("no such path", "see GET /v2 and /v2/models/NAME")

    async def _body(self, scope: Scope, receive: Receive) -> tuple[str, bytes]:
        """Content-Type without its parameters, and the body. Raises MediaError, TooLargeError."""
        media = OCTETS
        for header, value in scope["headers"]:
            if header == b"content-type":
                media = value.decode("latin-1").partition(";")[0].strip().lower()
            elif header == b"content-length" and value.isdigit() and int(value) > self._max_body_bytes:
                raise self._too_large()
            elif header == b"content-encoding" and value.lower() != b"identity":
                raise MediaError("compressed bodies are not accepted", "send the body as it is")
        return media, await self._read(receive)

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
        return TooLargeError(f"the body is over {self._max_body_bytes:,} bytes", "send smaller or fewer pictures")


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", JSON), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


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


def _require(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        raise MethodError("this path does not take that method", f"use {methods[0]}")


async def _lifespan(receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
