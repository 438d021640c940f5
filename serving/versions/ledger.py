"""What every process that serves the same models did: each tells the others its counts, and any of them knows the sum.

The counts of a process that has died stay in the sum. Nothing here waits: what the others say is as old as the last
exchange, a second or so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from serving.watch.statistics import Snapshot, Statistics, added

Report = dict[str, Any]
"""JSON values: `replica`, `at` (Unix time), `traffic` by model, `refused` and `statistics` by model and version."""


class Board(Protocol):
    """Where processes leave a note for each other."""

    def put(self, key: str, value: bytes) -> None:
        """Write, or write over, a note."""

    def notes(self) -> dict[str, bytes]:
        """Every note there is."""


class MemoryBoard:
    """For one process alone, and for tests."""

    def __init__(self) -> None:
        self._notes: dict[str, bytes] = {}

    def put(self, key: str, value: bytes) -> None:
        self._notes[key] = value

    def notes(self) -> dict[str, bytes]:
        return dict(self._notes)


class Ledger:
    """Counts by model and version: this process's own, which only grow, and what the others reported."""

    def __init__(self) -> None:
        self._own: dict[str, dict[int, Statistics]] = {}
        self.others: Sequence[Report] = ()

    def of(self, name: str, version: int, classes: int) -> Statistics:
        """The counts of one version; the same ones again when it comes back into memory."""
        return self._own.setdefault(name, {}).setdefault(version, Statistics(classes))

    def own(self) -> dict[str, dict[str, Snapshot]]:
        """By model and version, the latter as text, as JSON has it."""
        return {
            name: {str(version): statistics.snapshot() for version, statistics in versions.items()}
            for name, versions in self._own.items()
        }

    def totals(self) -> dict[str, dict[str, Snapshot]]:
        """The sums over every process, by model and version."""
        found: dict[str, dict[str, list[Snapshot]]] = {}
        for report in ({"statistics": self.own()}, *self.others):
            for name, versions in report["statistics"].items():
                for version, snapshot in versions.items():
                    found.setdefault(name, {}).setdefault(version, []).append(snapshot)
        return {name: {v: added(snapshots) for v, snapshots in versions.items()} for name, versions in found.items()}
