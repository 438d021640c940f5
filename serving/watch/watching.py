"""Watchers of requests: the request log and the traces. Off by default, and then nothing here runs.

`watched` puts a note about the request where the data plane finds it; who watches reads it after the answer was sent.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from serving.wire.protocol import Probabilities

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Method = Callable[[Any, Any], Awaitable[bytes]]

NS = 1_000_000_000
_REQUEST_ID = b"x-request-id"
_TRACE = ("traceparent", "tracestate")
_PRINTABLE = re.compile(rb"[!-~]{1,128}")
_VERBS = ("/infer", "/classify")
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 504,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
}
"""By the name of gRPC's status; what is not here is 500."""

_log = logging.getLogger("ray.serve")


class Watching(BaseModel):
    """Who watches.

    Attributes:
        request_log: the file to write to; empty: none.
        sample: the share of the requests that is written.
        log_inputs: whether a line holds what was asked as well.
        otlp: where traces are sent, the whole URL; empty: none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_log: str = ""
    sample: float = Field(default=1.0, ge=0, le=1)
    log_inputs: bool = False
    otlp: str = ""


@dataclass(slots=True)
class Note:
    """One request for an answer. Moments are seconds of `time.perf_counter`.

    Attributes:
        id: what the client calls the request, else made up.
        parent: the W3C trace context that came with it, by header.
        unix_ns: when `start` was.
        model, version: who answered; empty if nobody did.
        probabilities: [N, K], if it was answered.
        read: when the request was decoded; compute_s: how long its batch was computed.
        status: of the answer, 0 if the client had gone.
    """

    path: str
    id: str
    parent: dict[str, str]
    start: float = field(default_factory=time.perf_counter)
    unix_ns: int = field(default_factory=time.time_ns)
    model: str = ""
    version: str = ""
    labels: Sequence[str] = ()
    batch: Any = None
    probabilities: Probabilities | None = None
    read: float = 0.0
    computed: float = 0.0
    compute_s: float = 0.0
    end: float = 0.0
    status: int = 0
    body_bytes: int = 0
    answer_bytes: int = 0

    def at_ns(self, moment: float) -> int:
        """A moment as Unix time in nanoseconds."""
        return self.unix_ns + round((moment - self.start) * NS)


NOTE: ContextVar[Note | None] = ContextVar("note", default=None)


class Watcher(Protocol):
    """Is told of requests, after their answer."""

    def wants(self) -> bool:
        """Whether the next request is one to be told of; asked once for each, before it."""

    def __call__(self, note: Note) -> None:
        """The request is over. What is raised here hurts nobody."""


def watchers(settings: Watching) -> list[Watcher]:
    """Those wanted. Raises InputError if what one needs is not installed."""
    found: list[Watcher] = []
    if settings.request_log:
        from serving.watch.request_log import RequestLog

        found.append(RequestLog(settings.request_log, settings.sample, with_inputs=settings.log_inputs))
    if settings.otlp:
        from serving.watch.traces import Traces

        found.append(Traces(settings.otlp))
    return found


def watched(application: Application, who: Sequence[Watcher]) -> Application:
    """The same application; requests for an answer are noted, and every watcher is told. Without any, it itself."""
    if not who:
        return application

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        told = [watcher for watcher in who if watcher.wants()]
        if not told or scope["type"] != "http" or not scope["path"].endswith(_VERBS):
            await application(scope, receive, send)
            return
        with _noted(scope["path"], dict(scope["headers"]), told) as note:
            await application(scope, _reading(receive, note), _counting(send, note))

    return noting


def watched_call(method: Method, path: str, who: Sequence[Watcher]) -> Method:
    """The same for a method of gRPC; `path` is what it is called in a note, and its status is that of HTTP."""
    if not who:
        return method

    async def noting(stream: Any, context: Any) -> bytes:
        told = [watcher for watcher in who if watcher.wants()]
        if not told:
            return await method(stream, context)
        sent = context.invocation_metadata() or ()
        headers = {name.encode(): value.encode() for name, value in sent if isinstance(value, str)}
        with _noted(path, headers, told) as note:
            try:
                answer = await method(stream, context)
            except BaseException:
                note.status = _HTTP.get(getattr(context.code(), "name", ""), 500)
                raise
            note.status, note.answer_bytes = 200, len(answer)
            return answer

    return noting


@contextmanager
def _noted(path: str, headers: Mapping[bytes, bytes], told: Sequence[Watcher]) -> Iterator[Note]:
    """A note that the data plane finds, and that `told` are told of in the end."""
    note = _note(path, headers)
    token = NOTE.set(note)
    try:
        yield note
    finally:
        NOTE.reset(token)
        note.end = time.perf_counter()
        _tell(told, note)


def _note(path: str, headers: Mapping[bytes, bytes]) -> Note:
    given = headers.get(_REQUEST_ID, b"")
    name = given.decode() if _PRINTABLE.fullmatch(given) else uuid.uuid4().hex
    parent = {key: headers[key.encode()].decode("latin-1") for key in _TRACE if key.encode() in headers}
    return Note(path, name, parent)


def _reading(receive: Receive, note: Note) -> Receive:
    async def receiving() -> Message:
        message = await receive()
        note.body_bytes += len(message.get("body", b""))
        return message

    return receiving


def _counting(send: Send, note: Note) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            note.status = message["status"]
            note.id = next((value.decode() for key, value in message["headers"] if key == _REQUEST_ID), note.id)
        else:
            note.answer_bytes += len(message.get("body", b""))
        await send(message)

    return sending


def _tell(who: Iterable[Watcher], note: Note) -> None:
    for watcher in who:
        try:
            watcher(note)
        except Exception:  # noqa: BLE001  # who only watches must not hurt a request
            _log.exception("a request could not be noted")
