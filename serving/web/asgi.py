"""HTTP as ASGI hands it over: who asks, how a body is read within its limits, how an answer is sent, and until when.

What is asked is for `serving.web.rest` to say.
"""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from raytune_app.errors import DeadlineError, InputError, RaytuneError, SlowError, TooLargeError
from serving.door.door import Door, Need
from serving.door.places import Place, Places
from serving.web.inflate import Encoding, expanded, inflate
from serving.web.visitors import visitor
from serving.wire import binary
from serving.wire.inputs import OCTETS
from serving.wire.jsons import LOOK_FROM_BYTES, json_weight
from serving.wire.protocol import MAX_BODY_BYTES, error_answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")
TENSORS_HEADER = binary.HEADER.lower().encode()
KEY_HEADER = b"x-session-id"
"""Whom a request is from; the header Ray Serve's own sticky sessions use."""
ID_HEADER = b"x-request-id"
TIMEOUT_HEADER = b"x-request-timeout-ms"
TIMEOUT_S = 60.0
"""From the headers of a request to its answer, unless its client wants less."""

HELD_BYTES = 8192
"""The proxy before us has a body of up to this size as a whole before we hear of it."""

SLOW_S, SLOW_BYTES_PER_S = 10.0, 50_000
"""A body has this time, and after it must have come at this rate: a place is not for resting in."""

PATIENCE_S = 0.1
"""An answer that takes longer is worth looking whether anyone still waits for it."""

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


T = TypeVar("T")


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


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


class Incoming:
    """What comes of a request; knows whether that was all."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_whole = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.is_whole = not message.get("more_body", False)
        return message


class Reader:
    """Reads requests that have a body.

    Args:
        max_body_bytes: a longer body is refused, by its header where it has one, else as soon as it gets too long;
            the same holds for what a compressed one unfolds to.
        timeout_s: a request has so long to come and to be answered; its client may want less.
    """

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES, timeout_s: float = TIMEOUT_S) -> None:
        self._max_body_bytes = max_body_bytes
        self._timeout_s = timeout_s

    def deadline(self, headers: Iterable[Header]) -> float:
        """When the answer must be there, in the loop's time. Raises InputError for a client's wish that is none."""
        wanted = next((value for name, value in headers if name == TIMEOUT_HEADER), None)
        timeout_s = self._timeout_s
        if wanted is not None:
            if not wanted.isdigit() or len(wanted) > 12 or int(wanted) == 0:
                raise InputError("x-request-timeout-ms is no number of milliseconds", "send one from 1 on, or none")
            timeout_s = min(timeout_s, int(wanted) / 1000)
        return asyncio.get_running_loop().time() + timeout_s

    async def read(self, call: Call, place: Place, deadline: float) -> Request:
        """The whole request; `place` grows by what it takes.

        Raises:
            InputError, MediaError, TooLargeError: what the headers or the body say cannot be.
            SlowError: it is not here by the deadline.
            BusyError: too much is inside.
            ClientGoneError.
        """
        content_type, json_bytes, key, encoding = OCTETS, None, None, Encoding.NONE
        for header, value in call.scope["headers"]:
            if header == b"content-type":
                content_type = value.decode("latin-1")
            elif header == b"content-length" and value.isdigit() and int(value[:20]) > self._max_body_bytes:
                raise self._too_large()
            elif header == TENSORS_HEADER:
                json_bytes = binary.header_value(value)
            elif header == KEY_HEADER:
                key = value
            elif header == b"content-encoding":
                encoding = Encoding.of(value)
        body = await self._body(call.receive, place, deadline)
        if encoding is not Encoding.NONE:
            place.grow(expanded(len(body), self._max_body_bytes))
            body = await asyncio.to_thread(inflate, body, encoding, self._max_body_bytes)
        if len(body) > LOOK_FROM_BYTES:
            place.grow(await asyncio.to_thread(json_weight, body if json_bytes is None else body[:json_bytes]))
        return Request(content_type, json_bytes, body, key)

    async def _body(self, receive: Receive, place: Place, deadline: float) -> bytes:
        parts, size, more = list[bytes](), 0, True
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(deadline, begun + SLOW_S)) as timeout:
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._max_body_bytes:
                        raise self._too_large()
                    place.grow(len(parts[-1]))
                    if more := message.get("more_body", False):
                        timeout.reschedule(min(deadline, begun + SLOW_S + size / SLOW_BYTES_PER_S))
        except TimeoutError as error:
            raise SlowError(f"after {size:,} bytes the rest of the body did not come in time", "send faster") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"the body is over {self._max_body_bytes:,} bytes", "send smaller or fewer examples")


@dataclass(frozen=True, slots=True)
class Entrance:
    """What stands between a request and its answer.

    Attributes:
        peer_header: in which the proxy before us, and nobody else, tells its client's address; None: there is none.
    """

    door: Door = field(default_factory=Door)
    places: Places = field(default_factory=Places)
    reader: Reader = field(default_factory=Reader)
    peer_header: bytes | None = None

    def admit(self, need: Need, headers: Iterable[Header]) -> None:
        """Raises UnknownKeyError, ForbiddenError, RateError."""
        if not self.door.is_open_to(need):
            self.door.admit(need, visitor(headers, self.peer_header))

    async def let_in(self, call: Call, handler: Callable[[Call, Request], Coroutine[Any, Any, T]]) -> T:
        """Read the request and have it answered, within the room and the time there is.

        Raises:
            What `Reader.read` and `attended` raise.
        """
        deadline = self.reader.deadline(call.scope["headers"])
        with self.places.take() as place:
            request = await self.reader.read(call, place, deadline)
            return await attended(handler(call, request), call.receive, deadline)


async def attended(work: Coroutine[Any, Any, T], receive: Receive, deadline: float) -> T:
    """What `work` returns, unless the deadline passes or the client leaves first; then it is cancelled.

    Raises:
        DeadlineError, ClientGoneError.
    """
    task = asyncio.current_task()
    assert task is not None, "called outside a task"
    watch = _Watch(task, receive, deadline)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.verdict is None:
            raise
        task.uncancel()
        raise watch.verdict from None
    finally:
        watch.stop()


class _Watch:
    """Cancels a task whose client has gone, or that is late. Quick answers never pay for a second task."""

    def __init__(self, task: asyncio.Task[Any], receive: Receive, deadline: float) -> None:
        self.verdict: Exception | None = None
        self._task = task
        self._receive = receive
        self._deadline = deadline
        loop = task.get_loop()
        self._timer = loop.call_at(min(loop.time() + PATIENCE_S, deadline), self._begin)
        self._watching: asyncio.Task[None] | None = None

    def stop(self) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = self._task.get_loop().create_task(self._watch())

    async def _watch(self) -> None:
        try:
            async with asyncio.timeout_at(self._deadline):
                while (await self._receive())["type"] != "http.disconnect":  # noqa: ASYNC110  # all there is to wait on
                    await asyncio.sleep(PATIENCE_S)
        except TimeoutError:
            self.verdict = DeadlineError("the answer was not there in time", "send less at once, or allow more time")
        else:
            self.verdict = ClientGoneError()
        self._task.cancel()


def request_id(headers: Iterable[Header]) -> bytes:
    """The client's own if it is one, else a new one."""
    given = next((value for name, value in headers if name == ID_HEADER), b"")
    return given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex.encode()


def refusal(error: RaytuneError) -> Reply:
    """An error as an answer, with what its status wants beside it."""
    headers: tuple[Header, ...] = (JSON,)
    if error.retry_after_s is not None:
        headers += ((b"retry-after", str(math.ceil(error.retry_after_s)).encode()),)
    if error.http_status == 401:
        headers += ((b"www-authenticate", b"Bearer"),)
    return Reply(error_answer(error), error.http_status, headers)


def leaves_some(incoming: Incoming, headers: Iterable[Header]) -> bool:
    """Whether the client may still be sending, so that only closing the connection ends it."""
    if incoming.is_whole:
        return False
    told = dict(headers)
    size = told.get(b"content-length", b"0")
    return b"transfer-encoding" in told or not size.isdigit() or int(size[:20]) > HELD_BYTES


async def send_reply(send: Send, reply: Reply, identity: bytes, *, close: bool = False) -> None:
    """Send an answer as a whole, with the id of its request; `close`: and take no more from this connection."""
    headers = [*reply.headers, (b"content-length", str(len(reply.body)).encode()), (ID_HEADER, identity)]
    headers += [(b"connection", b"close")] if close else []
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def lifespan(receive: Receive, send: Send) -> None:
    """Nothing to do at the start and at the end."""
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
