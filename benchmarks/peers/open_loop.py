"""A client in an open loop: it asks when it is time to, whether or not earlier answers have come.

    python -m benchmarks.peers.open_loop URL DIALECT PICTURES.npz --rate 1000 --seconds 5

Times between requests are exponential. A request's latency counts from when it was due, so a server (or a client) that
falls behind is not flattered: what waits for a free connection has been waiting since then. What is unanswered at the
end counts with the time it has waited. Prints one JSON object. `select`, unlike `epoll`, waits for less than a
millisecond, which is what the latencies are like.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import selectors
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools
import numpy as np

from benchmarks.peers.dialects import DIALECTS, Dialect

DRAIN_S = 3.0
"""After the last request was due, so long is waited for answers."""
POLL_S = 0.05
MAX_REQUESTS = 200_000
SAMPLES = 200
"""Answers of a run that are compared with torch's."""
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request: its number, and when it was due by the loop's clock."""

    number: int
    due: float


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._now: Exchange | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, exchange: Exchange, request: bytes) -> None:
        assert self._transport is not None
        self._now = exchange
        self._body.clear()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        exchange, self._now = self._now, None
        keeps = self._parser.should_keep_alive()
        if exchange is not None:
            self._load.answered(exchange, self._parser.get_status_code(), bytes(self._body), self if keeps else None)
        if not keeps:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, self._now = self._now, None
        self._load.lost(self, exchange)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Load:
    """One run: what was due, what was answered, and how late."""

    def __init__(self, url: str, dialect: Dialect, pictures: Path, connections: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._dialect = dialect
        with np.load(pictures, allow_pickle=False) as file:
            self._expected = file["probabilities"]
            self._requests = [self._request(each) for each in file["pictures"]]
        self._most = connections
        self._free = deque[Connection]()  # used in turn, so that no server closes one for being idle
        self._waiting = deque[Exchange]()
        self._open: set[Connection] = set()
        self._outstanding = dict[int, float]()
        self._latencies = list[float]()
        self._lags = list[float]()
        self._errors = self._wrong = self._checked = 0
        self._samples = list[tuple[int, bytes]]()
        self._last = 0.0

    def _request(self, picture: Any) -> bytes:
        question = self._dialect.ask(picture[np.newaxis])
        headers = {"Host": f"{self._host}:{self._port}", "Content-Length": str(len(question.body)), **question.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {question.path} HTTP/1.1\r\n{lines}\r\n".encode() + question.body

    async def run(self, rate: float, seconds: float) -> dict[str, Any]:
        """Ask `rate` times a second on average. Raises OSError if nobody listens."""
        loop = asyncio.get_running_loop()
        for _ in range(self._most):
            await self._connect()
        times = _schedule(rate, seconds)
        every = max(1, len(times) // SAMPLES)
        self._keep = frozenset(range(0, len(times), every))
        start = loop.time() + 0.1
        position = 0

        def tick() -> None:
            nonlocal position
            now = loop.time() - start
            while position < len(times) and times[position] <= now:
                self._offer(Exchange(position, start + times[position]))
                position += 1
            if position < len(times):
                loop.call_at(start + times[position], tick)

        tick()
        deadline = start + seconds + DRAIN_S
        while loop.time() < deadline and (position < len(times) or self._outstanding):  # noqa: ASYNC110  # see below
            await asyncio.sleep(POLL_S)  # an event would cost each answer something
        return self._result(rate, start, loop.time(), len(times))

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await asyncio.wait_for(
            loop.create_connection(lambda: Connection(self), self._host, self._port), DRAIN_S
        )
        self._open.add(connection)
        self._hand(connection)

    async def _reconnect(self) -> None:
        with suppress(OSError, TimeoutError):  # the requests that wait for it will count as unanswered
            await self._connect()

    def _offer(self, exchange: Exchange) -> None:
        self._lags.append(asyncio.get_running_loop().time() - exchange.due)
        self._outstanding[exchange.number] = exchange.due
        self._waiting.append(exchange)
        if self._free:
            self._hand(self._free.popleft())

    def _hand(self, connection: Connection) -> None:
        if not self._waiting:
            self._free.append(connection)
            return
        exchange = self._waiting.popleft()
        connection.send(exchange, self._requests[exchange.number % len(self._requests)])

    def answered(self, exchange: Exchange, status: int, body: bytes, connection: Connection | None) -> None:
        """An answer has come; `connection` may ask again."""
        self._last = asyncio.get_running_loop().time()
        self._outstanding.pop(exchange.number, None)
        if status == 200:
            self._latencies.append(self._last - exchange.due)
            if exchange.number in self._keep:
                self._samples.append((exchange.number, body))
        else:
            self._errors += 1
        if connection is not None:
            self._hand(connection)

    def lost(self, connection: Connection, exchange: Exchange | None) -> None:
        """The server has closed a connection; its request, if any, failed."""
        self._open.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if exchange is not None:
            self._errors += 1
            self._outstanding.pop(exchange.number, None)
        self._again = asyncio.get_running_loop().create_task(self._reconnect())

    def _result(self, rate: float, start: float, end: float, offered: int) -> dict[str, Any]:
        waited = [end - due for due in self._outstanding.values()]
        latencies = np.array(self._latencies + waited) * 1000
        return {
            "rate": rate,
            "offered": offered,
            "answered": len(self._latencies),
            "errors": self._errors,
            "unanswered": len(waited),
            "wrong": sum(not self._is_right(number, body) for number, body in self._samples),
            "checked": len(self._samples),
            "requests_per_s": len(self._latencies) / max(self._last - start, 1e-9),
            "p50_ms": float(np.percentile(latencies, 50)) if len(latencies) else None,
            "p99_ms": float(np.percentile(latencies, 99)) if len(latencies) else None,
            "client_late_p99_ms": float(np.percentile(self._lags, 99)) * 1000 if self._lags else None,
        }

    def _is_right(self, number: int, body: bytes) -> bool:
        try:
            given = self._dialect.read(body, 1)[0]
        except (ValueError, LookupError, TypeError):
            return False
        return bool(np.allclose(given, self._expected[number % len(self._expected)], atol=TOLERANCE))


def _schedule(rate: float, seconds: float) -> list[float]:
    """Seconds after the start at which each request is due, the same in every run."""
    draw, times, now = random.Random(0), list[float](), 0.0
    while (now := now + draw.expovariate(rate)) < seconds and len(times) < MAX_REQUESTS:
        times.append(now)
    return times


def main() -> None:
    """Run one load and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("dialect", choices=DIALECTS)
    parser.add_argument("pictures", type=Path, help="an .npz with `pictures` and torch's `probabilities`")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=64, help="more than these wait in the client")
    args = parser.parse_args()

    async def run() -> dict[str, Any]:
        load = Load(args.url, DIALECTS[args.dialect], args.pictures, args.connections)
        return await load.run(args.rate, args.seconds)

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        print(json.dumps(runner.run(run())))


if __name__ == "__main__":
    main()
