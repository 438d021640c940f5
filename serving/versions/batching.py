"""Greedy batching: examples that wait together are answered together, and nothing ever waits for company.

An example that arrives alone is answered at once; while a batch is computed the next one gathers by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Generic

from serving.wire.inputs import Batch, Inputs, Item
from serving.wire.protocol import Probabilities

MAX_BATCH = 64
INLINE_S = 0.005
"""Work up to this long stays in the event loop: a thread would cost more than it frees."""


def _ignore(examples: int, queue_s: float, compute_s: float) -> None:
    """Nobody wants to know."""


class Batcher(Generic[Item, Batch]):
    """Answers one model's examples in batches, in the order they came. Belongs to one event loop.

    Args:
        predict: a batch of N examples to probabilities float32 [N, K].
        inputs: makes a batch of single examples, and says how much work they are.
        example_s: seconds a usual example takes in a batch; longer work goes to a thread, so that the server stays
            alive.
        max_batch: examples computed at once.
        executed: told of each batch that has an answer: its examples, the seconds they waited in sum, and the seconds
            it took.

    Attributes:
        last_s: seconds that the batch took whose examples were answered last; who is woken by its answer may read it.
    """

    def __init__(
        self,
        predict: Callable[[Batch], Probabilities],
        inputs: Inputs[Item, Batch],
        example_s: float,
        max_batch: int = MAX_BATCH,
        executed: Callable[[int, float, float], None] = _ignore,
    ) -> None:
        self._predict = predict
        self._inputs = inputs
        self._example_s = example_s
        self._max_batch = max_batch
        self._executed = executed
        self._waiting = deque[tuple[Item, asyncio.Future[Probabilities], float]]()
        self.last_s = 0.0
        self._busy = False
        self._large = asyncio.Lock()

    def submit(self, item: Item) -> asyncio.Future[Probabilities]:
        """The probabilities [K] of one example, computed with whatever else waits."""
        future: asyncio.Future[Probabilities] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future, time.perf_counter()))
        if not self._busy:
            self._busy = True
            future.get_loop().call_soon(self._flush)
        return future

    async def run(self, batch: Batch) -> Probabilities:
        """The probabilities [N, K] of a batch that came as one, computed alone: equal requests give equal bits."""
        arrived = start = time.perf_counter()
        if self._is_short(self._inputs.weight(batch)):
            answer = self._predict(batch)
        else:
            async with self._large:
                start = time.perf_counter()
                answer = await asyncio.to_thread(self._predict, batch)
        self.last_s = time.perf_counter() - start
        self._executed(len(answer), (start - arrived) * len(answer), self.last_s)
        return answer

    def _is_short(self, weight: int) -> bool:
        return weight * self._example_s <= INLINE_S

    def _flush(self) -> None:
        """Take what waits now; what arrives meanwhile waits for the next flush."""
        taken = self._taken()
        items, futures = [item for item, _, _ in taken], [future for _, future, _ in taken]
        loop, start = asyncio.get_running_loop(), time.perf_counter()
        if not taken:
            self._go_on(loop)
            return
        waited_s = start * len(taken) - sum(arrived for _, _, arrived in taken)

        def finish(answer: Probabilities | Exception) -> None:
            self.last_s = time.perf_counter() - start
            if not isinstance(answer, Exception) and len(answer) != len(items):
                answer = ArithmeticError(f"{len(answer)} answers to {len(items)} examples")
            if not isinstance(answer, Exception):
                self._executed(len(items), waited_s, self.last_s)
            _settle(futures, answer)
            self._go_on(loop)

        if self._is_short(self._inputs.weight(items)):
            finish(self._compute(items))
        else:
            task = loop.run_in_executor(None, self._compute, items)
            task.add_done_callback(lambda done: finish(done.result()))

    def _taken(self) -> list[tuple[Item, asyncio.Future[Probabilities], float]]:
        """The next batch, without those whose client has gone meanwhile."""
        taken = list[tuple[Item, asyncio.Future[Probabilities], float]]()
        while self._waiting and len(taken) < self._max_batch:
            waiter = self._waiting.popleft()
            if not waiter[1].done():
                taken.append(waiter)
        return taken

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._busy = bool(self._waiting)
        if self._busy:
            loop.call_soon(self._flush)

    def _compute(self, items: list[Item]) -> Probabilities | Exception:
        try:
            return self._predict(self._inputs.stack(items))
        except Exception as error:  # noqa: BLE001  # goes to everyone who waits
            return error


def _settle(futures: list[asyncio.Future[Probabilities]], answer: Probabilities | Exception) -> None:
    for row, future in enumerate(futures):
        if future.done():  # its client has gone
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer[row])
