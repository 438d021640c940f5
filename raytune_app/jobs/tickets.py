"""The tickets of all submitted studies, in the key-value store of the cluster's head.

Each job writes its own ticket and reads all; nobody else writes it, so there is nothing to lock. Two jobs that come in
the same second may both be admitted to one place; the next one then waits longer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from raytune_app.jobs.queue import Ticket

NAMESPACE = b"raytune"
PREFIX = b"ticket:"
CALL_S = 10.0


class Tickets:
    """Reads and writes tickets.

    Args:
        address: `host:port` of the head, as Ray gives it to a job.
    """

    def __init__(self, address: str, connect: Callable[[str], Any] | None = None) -> None:
        self._store = (connect or _connect)(address)

    def put(self, ticket: Ticket) -> None:
        text = json.dumps(asdict(ticket)).encode()
        self._store.internal_kv_put(PREFIX + ticket.study.encode(), text, True, NAMESPACE, CALL_S)

    def all(self) -> list[Ticket]:
        """Every ticket that can be read; one of another version of this package may be none."""
        keys = self._store.internal_kv_keys(PREFIX, NAMESPACE, CALL_S)
        found = []
        for text in (self._store.internal_kv_get(key, NAMESPACE, CALL_S) for key in keys):
            with suppress(ValueError, TypeError):
                found.append(Ticket(**json.loads(text)))
        return found

    def remove(self, study: str) -> None:
        self._store.internal_kv_del(PREFIX + study.encode(), False, NAMESPACE, CALL_S)


def _connect(address: str) -> Any:
    """Without joining the cluster as a driver: a job that waits should cost next to nothing."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled

    return GcsClient(address=address)
