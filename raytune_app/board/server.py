"""The board: a small web server that reads one storage and shows its studies, as they were and as they grow."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.middleware.gzip import GZipMiddleware

from raytune_app.board.assets import Asset, assets, sent
from raytune_app.board.entry import FRAME, Application, Entry
from raytune_app.board.listing import Listing
from raytune_app.board.watched import Shelf, Watched, dumped
from raytune_app.errors import RaytuneError
from raytune_app.storage import Storage

SIGN_OF_LIFE_S = 15.0
"""How often a page that waits for news hears that the board is there: it notices by that who has gone."""


class Board:
    """The application, for uvicorn.

    Args:
        storage: whose studies are shown.
        token: without which nobody comes in; None on the loopback interface.
        host: a further name that the board may be asked by.

    Attributes:
        closing: set once the server ends, so that pages that wait for news are let go.
    """

    def __init__(self, storage: Storage, token: str | None = None, host: str | None = None) -> None:
        self.closing = False
        self._shelf = Shelf(storage)
        self._listing = Listing(self._shelf)
        application = FastAPI(openapi_url=None)
        self._add_pages(application)
        self._add_studies(application)
        application.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=3)
        application.add_exception_handler(RaytuneError, _refused)
        self._entry: Application = Entry(application, token, host)

    def expect(self, study: str) -> None:
        """Begin to read this study's log, since it will be asked for."""
        threading.Thread(target=self._read, args=[study], daemon=True).start()

    def _read(self, study: str) -> None:
        with contextlib.suppress(RaytuneError):  # who asks for it is told
            self._shelf.study(study).body()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._entry(scope, receive, send)

    async def _has_gone(self, request: Request) -> bool:
        return self.closing or await request.is_disconnected()

    def _add_pages(self, application: FastAPI) -> None:
        @application.get("/")
        def page(request: Request) -> Response:
            return _sent(request, assets()["index.html"])

        @application.get(FRAME)
        def frame(request: Request) -> Response:
            return _sent(request, assets()["frame.html"])

        @application.get("/assets/{name}")
        def asset(request: Request, name: str) -> Response:
            return _sent(request, sent(name))

    def _add_studies(self, application: FastAPI) -> None:
        shelf = self._shelf

        @application.get("/api/studies")
        def studies() -> Response:
            return _json({"storage": shelf.storage.uri, "studies": self._listing.studies()})

        @application.get("/api/studies/{study}")
        def study(request: Request, study: str) -> Response:
            return _compressed(request, shelf.study(study).body())

        @application.get("/api/studies/{study}/events")
        def events(request: Request, study: str, since: str = "") -> Response:
            stamp = request.headers.get("last-event-id", since)
            watched = shelf.study(study)
            news = _news(watched, stamp, lambda: self._has_gone(request))
            return StreamingResponse(news, media_type="text/event-stream", headers={"cache-control": "no-store"})

        @application.get("/api/studies/{study}/trials/{number}")
        def trial(study: str, number: int) -> Response:
            return _json(shelf.study(study).trial(number))

        @application.get("/api/studies/{study}/figures")
        def figures(study: str) -> Response:
            return _json(shelf.study(study).figures())

        @application.get("/api/studies/{study}/figures/{name}")
        def figure(request: Request, study: str, name: str) -> Response:
            return _json(shelf.study(study).figure(name, dict(request.query_params)))


class Server(uvicorn.Server):
    """Runs a board; ends at once when told to, though pages wait for news."""

    def __init__(self, board: Board) -> None:
        super().__init__(
            uvicorn.Config(board, log_level="error", ws="none", lifespan="off", timeout_graceful_shutdown=3)
        )
        self._board = board

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Let the pages go first."""
        self._board.closing = True
        super().handle_exit(sig, frame)


async def _news(watched: Watched, stamp: str, has_gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    """What changes in a study, as server-sent events: at most one for each look at its log."""
    yield b": here\n\n"
    silent_s, is_well = 0.0, True
    while not await has_gone():
        try:
            if await asyncio.to_thread(watched.look) != stamp:
                content = await asyncio.to_thread(watched.since, stamp)
                stamp, silent_s = content["stamp"], 0.0
                yield b"id: " + stamp.encode() + b"\ndata: " + dumped(content) + b"\n\n"
            elif not is_well:
                yield b"event: well\ndata: {}\n\n"
            is_well = True
        except RaytuneError as error:  # an object store that is away for a moment
            yield b"event: problem\ndata: " + dumped({"error": error.message, "remedy": error.remedy}) + b"\n\n"
            is_well = False
        silent_s += watched.look_s
        if silent_s >= SIGN_OF_LIFE_S:
            silent_s = 0.0
            yield b": still here\n\n"
        await asyncio.sleep(watched.look_s)


def _json(content: Any) -> Response:
    return Response(dumped(content), media_type="application/json", headers={"cache-control": "no-store"})


def _compressed(request: Request, body: bytes) -> Response:
    headers = {"cache-control": "no-store", "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
    else:
        body = gzip.decompress(body)
    return Response(body, media_type="application/json", headers=headers)


def _sent(request: Request, asset: Asset) -> Response:
    headers = {"cache-control": "no-cache", "etag": asset.tag}
    if asset.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(asset.body, headers={**headers, "content-type": asset.media})


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RaytuneError)
    content = dumped({"error": error.message, "remedy": error.remedy})
    return Response(content, error.http_status, media_type="application/json", headers={"cache-control": "no-store"})
