"""A version in memory: computes answers and counts them; and what is done with a challenger beside a champion."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from serving.versions.batching import Batcher
from serving.watch.drift import Expected, Window
from serving.watch.statistics import Statistics
from serving.wire.inputs import Inputs
from serving.wire.protocol import Probabilities

PATIENCE_S = 5.0
"""A challenger that takes longer has failed."""
MAX_SHADOWS = 64
"""Requests whose shadow is being computed; more are counted and not looked at."""
MAX_SHADOWED = 16
"""Examples of a request that a shadow looks at: what waits for it is kept beside what the door counts."""

_log = logging.getLogger("ray.serve")


class Model(Protocol):
    """A version that can answer; `serving.versions.predictor.Predictor` is one."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def inputs(self) -> Inputs[Any, Any]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def example_s(self) -> float: ...
    def predict(self, batch: Any) -> Probabilities: ...


def expected_of(model: Model) -> Expected | None:
    """What the version knows of its training data; a model need not know anything."""
    return getattr(model, "expected", None)


def facts_of(model: Model) -> dict[str, str]:
    """Which weights these are and by which engine they run, as far as the model says."""
    return {name: str(getattr(model, name)) for name in ("weights", "engine") if hasattr(model, name)}


@dataclass(frozen=True, slots=True)
class Resident:
    """A version in memory, with a queue of its own, so that no batch ever mixes versions."""

    model: Model
    batcher: Batcher[Any, Any]
    statistics: Statistics

    @classmethod
    def of(cls, model: Model, statistics: Statistics) -> Resident:
        expected = expected_of(model)
        if expected is not None and statistics.window is None:
            statistics.window = Window(expected)
        return cls(
            model, Batcher(model.predict, model.inputs, model.example_s, executed=statistics.executed), statistics
        )

    async def answer(self, batch: Any, start: float) -> Answered:
        """Compute and count.

        Args:
            start: when the request came, as `time.perf_counter` has it.

        Raises:
            ArithmeticError: the model's output is not a number; and whatever the model raises.
        """
        try:
            probabilities = await self._probabilities(batch)
        except asyncio.CancelledError:  # nobody waits any more: too slow for its client, or for its deadline
            self.statistics.abandoned(time.perf_counter() - start, time.time())
            raise
        except Exception:
            self.statistics.failed(time.perf_counter() - start)
            raise
        self.statistics.answered(probabilities, time.perf_counter() - start, time.time())
        if self.statistics.window is not None:
            self.statistics.window.saw(batch, probabilities)
        return Answered(self.model, probabilities)

    async def _probabilities(self, batch: Any) -> Probabilities:
        item = self.model.inputs.alone(batch)
        if item is None:
            probabilities = await self.batcher.run(batch)
        else:
            probabilities = (await self.batcher.submit(item))[np.newaxis]
        if not np.isfinite(probabilities).all():
            raise ArithmeticError(f"version {self.model.version} of {self.model.name} answered no finite numbers")
        return probabilities


class Answered(NamedTuple):
    """Who answered, and what: `probabilities` is [N, K]."""

    model: Model
    probabilities: Probabilities


async def first_of(challenger: Resident, champion: Resident, batch: Any, start: float) -> Answered:
    """The challenger's answer; if it fails or hangs, that is counted and the champion answers."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await challenger.answer(batch, start)
    except Exception:  # noqa: BLE001  # a challenger may be broken in any way
        _log.exception("challenger %s@%d failed", challenger.model.name, challenger.model.version)
    return await champion.answer(batch, time.perf_counter())


class Shadows:
    """Challengers that answer too, after the client has its answer, and are only counted."""

    def __init__(self) -> None:
        self._tasks = set[asyncio.Task[None]]()

    def compare(self, challenger: Resident, batch: Any, probabilities: Probabilities, read_s: float) -> None:
        """Count in the background whether the challenger's labels are those of `probabilities` [N, K].

        Args:
            read_s: what reading the request took, which counts for the champion too.
        """
        if len(self._tasks) >= MAX_SHADOWS or len(batch) > MAX_SHADOWED:
            challenger.statistics.dropped += 1
            return
        task = asyncio.get_running_loop().create_task(_compare(challenger, batch, probabilities, read_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _compare(challenger: Resident, batch: Any, probabilities: Probabilities, read_s: float) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            answered = await challenger.answer(batch, time.perf_counter() - read_s)
    except Exception:  # noqa: BLE001  # a challenger may be broken in any way
        _log.exception("shadow %s@%d failed", challenger.model.name, challenger.model.version)
        return
    equal = np.array_equal(answered.probabilities.argmax(axis=1), probabilities.argmax(axis=1))
    challenger.statistics.agreed += equal
    challenger.statistics.differed += not equal
