"""Which of the submitted studies may run: pure, from the tickets that their jobs hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DEAD_S = 30.0
"""A ticket that was not renewed for so long belongs to a job that is gone."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One study's place.

    Attributes:
        priority: higher ones go first, then those submitted earlier (ISO 8601, UTC).
        runs: it was admitted, and keeps its place until it ends.
        beat_s: when the job renewed it last, seconds since the epoch.
    """

    study: str
    user: str
    priority: int
    submitted: str
    runs: bool
    beat_s: float


@dataclass(frozen=True, slots=True)
class Limits:
    """How many submitted studies run at once on a cluster, and how many of one user."""

    studies: int = 8
    per_user: int = 2

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Limits:
        """From RAYTUNE_STUDIES and RAYTUNE_STUDIES_PER_USER, which whoever starts the head may set there."""
        return cls(
            studies=_count(environment.get("RAYTUNE_STUDIES"), cls().studies),
            per_user=_count(environment.get("RAYTUNE_STUDIES_PER_USER"), cls().per_user),
        )


def in_order(tickets: Iterable[Ticket], now_s: float) -> list[Ticket]:
    """The waiting ones that are alive, whoever comes first first."""
    waiting = [ticket for ticket in tickets if not ticket.runs and now_s - ticket.beat_s < DEAD_S]
    return sorted(waiting, key=lambda ticket: (-ticket.priority, ticket.submitted, ticket.study))


def admitted(tickets: Iterable[Ticket], limits: Limits, now_s: float) -> list[str]:
    """The waiting studies that may start now: in order, past those whose user has as many running as allowed."""
    tickets = list(tickets)
    running = [ticket for ticket in tickets if ticket.runs and now_s - ticket.beat_s < DEAD_S]
    of_user = Counter(ticket.user for ticket in running)
    free = limits.studies - len(running)
    chosen = []
    for ticket in in_order(tickets, now_s):
        if free > 0 and of_user[ticket.user] < limits.per_user:
            chosen.append(ticket.study)
            of_user[ticket.user] += 1
            free -= 1
    return chosen


def ahead(tickets: Iterable[Ticket], study: str, now_s: float) -> int:
    """How many studies wait before this one."""
    order = [ticket.study for ticket in in_order(tickets, now_s)]
    return order.index(study) if study in order else 0


def _count(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and int(text) else default
