"""Two short cuts through private parts of Ray Serve and uvicorn, where most of a small model's request is spent.

- `straight_to` lets a request reach this application without Serve's request ids, metadata, tracing and log context,
  all of which it has itself; Serve still counts it, for its autoscaling and its orderly end.
- `answer_in_one_write` sends headers and body together: half the packets, and a process that is killed has sent all
  of an answer or nothing, so HAProxy may ask another one.

What they buy: set RAYTUNE_NO_SHORTCUTS=1 and run `benchmarks/serving_speed.py --only endpoint`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from serving.web.asgi import Message, Receive, Scope, Send

OFF = "RAYTUNE_NO_SHORTCUTS"
PATHS = ("/v2/", "/metrics")
App = Callable[[Scope, Receive, Send], Any]


def straight_to(application: App) -> None:
    """From now on requests to PATHS, in servers that this process's Serve starts, go straight to `application`."""
    from ray.serve._private import http_util
    from ray.serve._private.common import RequestMetadata, RequestProtocol

    if OFF in os.environ:
        return
    usual_middlewares = http_util._apply_middlewares  # noqa: SLF001
    counted = RequestMetadata("", "", is_direct_ingress=True, _request_protocol=RequestProtocol.HTTP)

    def apply(app: Any, middlewares: list[Any]) -> App:
        usual: App = usual_middlewares(app, middlewares)
        metrics = getattr(getattr(app, "__self__", None), "_metrics_manager", None)
        if metrics is None:  # not a replica's server
            return usual

        async def shorter(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not scope["path"].startswith(PATHS):
                await usual(scope, receive, send)
                return
            metrics.inc_num_ongoing_requests(counted)
            try:
                await application(scope, receive, send)
            finally:
                metrics.dec_num_ongoing_requests(counted)

        return shorter

    http_util._apply_middlewares = apply  # noqa: SLF001


def answer_in_one_write() -> None:
    """Let uvicorn hold an answer's headers until the first of its body is there."""
    from uvicorn.protocols.http import httptools_impl

    if OFF in os.environ:
        return
    cycle: Any = httptools_impl.RequestResponseCycle
    usual = cycle.send

    async def send(self: Any, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.held_start = message
            return
        start = self.__dict__.pop("held_start", None)
        if start is None:
            await usual(self, message)
            return
        transport = self.transport
        self.transport = together = _Together(transport)
        try:
            await usual(self, start)
            await usual(self, message)
        finally:
            self.transport = transport
            together.flush()

    cycle.send = send


class _Together:
    """A transport that keeps what is written until `flush` or `close`."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._parts.append(data)

    def flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
