"""Greedy batching: pictures that wait together are answered together, and nothing ever waits for company.

A picture that arrives alone is answered at once; while a batch is computed the next one gathers by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from serving.protocol import Pixels

MAX_BATCH = 64
INLINE_S = 0.005
"""Work up to this long stays in the event loop: a thread would cost more than it frees."""

Probabilities = NDArray[np.float32]
Predict = Callable[[Pixels], Probabilities]
Waiting = tuple[NDArray[np.uint8], asyncio.Future[Probabilities]]


class Batcher:
    """Answers one model's pictures in batches, in the order they came. Belongs to one event loop.

    Args:
        predict: raw pixels [N, C, H, W] to probabilities float32 [N, K].
        picture_s: seconds a picture takes in a batch; longer work goes to a thread, so that the server stays alive.
        max_batch: pictures computed at once.
    """

    def __init__(self, predict: Predict, picture_s: float, max_batch: int = MAX_BATCH) -> None:
        self._predict = predict
        self._picture_s = picture_s
        self._max_batch = max_batch
        self._waiting: deque[Waiting] = deque()
        self._busy = False
        self._large = asyncio.Lock()

    def submit(self, picture: NDArray[np.uint8]) -> asyncio.Future[Probabilities]:
        """The probabilities [K] of one picture uint8 [C, H, W], computed with whatever else waits."""
        future: asyncio.Future[Probabilities] = asyncio.get_running_loop().create_future()
        self._waiting.append((picture, future))
        if not self._busy:
            self._busy = True
            future.get_loop().call_soon(self._flush)
        return future

    async def run(self, pixels: Pixels) -> Probabilities:
        """The probabilities [N, K] of a batch that came as one, computed alone: equal requests give equal bits."""
        if self._is_short(len(pixels)):
            return self._predict(pixels)
        async with self._large:
            return await asyncio.to_thread(self._predict, pixels)

    def _is_short(self, pictures: int) -> bool:
        return pictures * self._picture_s <= INLINE_S

    def _flush(self) -> None:
        """Take what waits now; what arrives meanwhile waits for the next flush."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch))]
        loop = asyncio.get_running_loop()
        if self._is_short(len(batch)):
            self._finish(batch, self._compute(batch), loop)
        else:
            task = loop.run_in_executor(None, self._compute, batch)
            task.add_done_callback(lambda done: self._finish(batch, done.result(), loop))

    def _finish(self, batch: list[Waiting], answer: Probabilities | Exception, loop: asyncio.AbstractEventLoop) -> None:
        _settle(batch, answer)
        self._go_on(loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._busy = bool(self._waiting)
        if self._busy:
            loop.call_soon(self._flush)

    def _compute(self, batch: list[Waiting]) -> Probabilities | Exception:
        try:
            return self._predict(np.stack([picture for picture, _ in batch]))
        except Exception as error:  # noqa: BLE001  # goes to everyone who waits
            return error


def _settle(batch: list[Waiting], answer: Probabilities | Exception) -> None:
    for row, (_, future) in enumerate(batch):
        if future.done():  # its client has gone
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer[row])
