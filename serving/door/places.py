"""How much may be inside at once: a bounded number of requests, and of the bytes they take, in sum."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from raytune_app.errors import BusyError

MAX_REQUESTS = 512
"""Requests with a body in one process; more would only wait for one another."""

MAX_BYTES = 512 * 2**20
"""Of bodies and of what is made of them; one request may take what the largest body and its JSON can."""


FREE_BYTES = 2**16
"""Of each request; so the few that fill the room with large bodies do not keep out the many with small ones."""


class Places:
    """The room of one process; belongs to one event loop."""

    def __init__(
        self, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES, free_bytes: int = FREE_BYTES
    ) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.free_bytes = free_bytes
        self.requests = 0
        self.bytes = 0

    def take(self) -> Place:
        """A place for one request, as a context manager. Raises BusyError if all are taken."""
        if self.requests >= self._max_requests:
            raise BusyError(f"{self.requests:,} requests are being answered already", "try again in a second")
        return Place(self)

    def grow(self, size: int) -> None:
        """Raises BusyError if there is no room for so many bytes more."""
        if self.bytes + size > self._max_bytes:
            raise BusyError("the requests being answered fill the memory set aside for them", "try again in a second")
        self.bytes += size


class Place:
    """One request's room. `Places.take` makes it; leaving it gives everything back."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._bytes = 0
        self._counted = 0

    def grow(self, size: int) -> None:
        """Take so many bytes more, or give them back if negative. Raises BusyError if there is no room."""
        counted = max(0, self._bytes + size - self._places.free_bytes)
        self._places.grow(counted - self._counted)
        self._bytes += size
        self._counted = counted

    def __enter__(self) -> Self:
        self._places.requests += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._places.requests -= 1
        self._places.bytes -= self._counted
