"""HTTP around the data plane: paths, limits and status codes, and nothing else.

A plain ASGI application with a table of routes: for a picture of a few hundred bytes a framework's own work would
cost more than the model's.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, Protocol

from pydantic_core import to_json

from raytune_app.errors import InputError, NotFoundError, RaytuneError
from serving.door.door import Need
from serving.versions.dataplane import DataPlane
from serving.versions.feedback import read_version
from serving.watch import observed
from serving.watch.metrics import CONTENT_TYPE
from serving.web import docs, openapi, playground
from serving.web.asgi import (
    JSON,
    TENSORS_HEADER,
    Call,
    ClientGoneError,
    Entrance,
    Incoming,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    leaves_some,
    lifespan,
    refusal,
    request_id,
    send_reply,
)
from serving.web.page import Page
from serving.wire.inputs import OCTETS
from serving.wire.protocol import Answer, error_answer

TENSORS = (b"content-type", OCTETS.encode())
_log = logging.getLogger("ray.serve")  # so that it lands in Serve's log of this replica


class MethodError(InputError):
    """The path exists, but not for this method."""

    http_status = 405


Told = Callable[[Call], Awaitable[Reply]]
Asked = Callable[[Call, Request], Coroutine[Any, Any, Reply]]
REPOSITORY_VERBS = ("load", "unload")
READ, WRITE = ("GET", "HEAD"), ("POST",)


class Route(NamedTuple):
    """What answers a path: with `told` the headers are enough, with `asked` the body is read first."""

    methods: tuple[str, ...]
    need: Need
    told: Told | None = None
    asked: Asked | None = None


class Repository(Protocol):
    """Where models are loaded from; `serving.versions.replica.Replica` is one."""

    async def load(self, name: str, version: int | None) -> None: ...
    async def unload(self, name: str, version: int | None) -> None: ...


class Rest:
    """The ASGI application over one DataPlane.

    Args:
        repository: loads and unloads versions; None: there is nothing to load from.
        entrance: who is let in, how much at once, and for how long.
    """

    def __init__(
        self, plane: DataPlane, repository: Repository | None = None, entrance: Entrance | None = None
    ) -> None:
        self._plane = plane
        self._entrance = entrance or Entrance()
        self._of_paths = {
            "/": Route(READ, Need.OPEN, _page(playground.load())),
            "/playground": Route(READ, Need.OPEN, _page(playground.load())),
            "/docs": Route(READ, Need.OPEN, _page(docs.load())),
            "/openapi.json": Route(READ, Need.OPEN, _told(openapi.document)),
            "/v2": Route(READ, Need.INFER, _told(plane.metadata)),
            "/v2/": Route(READ, Need.INFER, _told(plane.metadata)),
            "/v2/health/live": Route(READ, Need.OPEN, _told(plane.live)),
            "/v2/health/ready": Route(READ, Need.OPEN, _told(plane.ready)),
            "/v2/models/stats": Route(READ, Need.INFER, _told(plane.model_statistics)),
            "/v2/repository/index": Route(("POST", *READ), Need.INFER, _told(plane.index)),
            "/v2/traffic": Route(READ, Need.INFER, _told(plane.overview)),
            "/metrics": Route(READ, Need.INFER, self._metrics),
        }
        self._of_models = {
            "": Route(READ, Need.INFER, _told_of_model(plane.model_metadata)),
            "ready": Route(READ, Need.OPEN, _told_of_model(plane.model_ready)),
            "config": Route(READ, Need.INFER, _told_of_model(plane.model_config)),
            "stats": Route(READ, Need.INFER, _told_of_model(plane.model_statistics)),
            "drift": Route(READ, Need.INFER, _told_of_model(partial(observed.drift, plane))),
            "infer": Route(WRITE, Need.INFER, asked=self._infer),
            "classify": Route(WRITE, Need.INFER, asked=self._classify),
            "feedback": Route(WRITE, Need.FEEDBACK, asked=self._feedback),
        }
        if repository is not None:
            self._of_models["load"] = Route(WRITE, Need.ADMIN, asked=_changes(repository.load))
            self._of_models["unload"] = Route(WRITE, Need.ADMIN, asked=_changes(repository.unload))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["type"] == "http":
            identity, incoming = request_id(scope["headers"]), Incoming(receive)
            try:
                reply = await self._answer(scope, incoming, identity)
            except ClientGoneError:
                return  # nobody is there to be told
            await send_reply(send, reply, identity, close=leaves_some(incoming, scope["headers"]))

    async def _answer(self, scope: Scope, receive: Receive, identity: bytes) -> Reply:
        try:
            return await self._route(scope, receive)
        except RaytuneError as error:
            return refusal(error)
        except ClientGoneError:
            raise
        except Exception:  # noqa: BLE001  # nothing internal may reach a client
            name = identity.decode()
            _log.exception("request %s failed", name)
            return Reply(to_json({"error": "internal error", "request_id": name}), 500)

    async def _route(self, scope: Scope, receive: Receive) -> Reply:
        path = scope["path"]
        name, version, verb = _model_path(path)
        route = self._of_paths.get(path) or (self._of_models.get(verb) if name else None)
        if route is None:
            raise NotFoundError("no such path", "see GET /v2, /v2/models/NAME and, in a browser, /")
        if scope["method"] not in route.methods:
            return _not_allowed(route.methods)
        self._entrance.admit(route.need, scope["headers"])
        call = Call(scope, receive, name, version)
        if route.told is not None:
            return await route.told(call)
        assert route.asked is not None, path
        return await self._entrance.let_in(call, route.asked)

    async def _infer(self, call: Call, request: Request) -> Reply:
        return _tensors(await self._plane.infer(call.name, call.version, request.body, request.json_bytes, request.key))

    async def _classify(self, call: Call, request: Request) -> Reply:
        media = request.content_type
        return Reply(await self._plane.classify(call.name, call.version, media, request.body, request.key))

    async def _feedback(self, call: Call, request: Request) -> Reply:
        return Reply(to_json(self._plane.feedback(call.name, request.body)))

    async def _metrics(self, call: Call) -> Reply:
        return Reply(observed.metrics(self._plane), headers=((b"content-type", CONTENT_TYPE.encode()),))


def _changes(change: Callable[[str, int | None], Awaitable[None]]) -> Asked:
    async def handler(call: Call, request: Request) -> Reply:
        await change(call.name, read_version(request.body))
        return Reply(b"{}")

    return handler


def _not_allowed(methods: tuple[str, ...]) -> Reply:
    error = MethodError("this path does not take that method", f"use {methods[0]}")
    return Reply(error_answer(error), error.http_status, (JSON, (b"allow", ", ".join(methods).encode())))


def _tensors(answer: Answer) -> Reply:
    if answer.json_bytes is None:
        return Reply(answer.body)
    return Reply(answer.body, headers=(TENSORS, (TENSORS_HEADER, str(answer.json_bytes).encode())))


def _model_path(path: str) -> tuple[str, str | None, str]:
    """`/v2/models/{name}[/versions/{version}][/{verb}]` or `/v2/repository/models/{name}/{load or unload}`.

    Returns:
        (name, version, verb); ("", None, "") for another path.
    """
    parts = path.rstrip("/").split("/")
    if parts[1:4] == ["v2", "repository", "models"] and len(parts) == 6 and parts[5] in REPOSITORY_VERBS:
        return parts[4], None, parts[5]
    if len(parts) < 4 or parts[1] != "v2" or parts[2] != "models":
        return "", None, ""
    name, rest, version = parts[3], parts[4:], None
    if len(rest) >= 2 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    if len(rest) > 1 or (rest and rest[0] in REPOSITORY_VERBS):
        return "", None, ""
    return name, version, rest[0] if rest else ""


def _page(page: Page) -> Told:
    reply = Reply(page.body, headers=page.headers)

    async def handler(call: Call) -> Reply:
        return reply

    return handler


def _told(content: Callable[[], Any]) -> Told:
    async def handler(call: Call) -> Reply:
        return Reply(to_json(content()))

    return handler


def _told_of_model(content: Callable[[str, str | None], Any]) -> Told:
    async def handler(call: Call) -> Reply:
        return Reply(to_json(content(call.name, call.version)))

    return handler
