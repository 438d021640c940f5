"""Batches form by themselves, keep the order, and never wait."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serving.versions.batching import INLINE_S, Batcher
from serving.wire.pictures import Pictures
from serving.wire.texts import USUAL_CHARACTERS, Texts

PICTURES = Pictures((1, 2, 2))

SLOW = 2 * INLINE_S
"""Seconds an example that send every batch to a thread; nothing sleeps that long."""


class Echo:
    """A model that answers each picture's first pixel and remembers its batches."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self.batches: list[int] = []
        self.before = before

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        self.before()
        self.batches.append(len(pixels))
        return pixels[:, 0, 0, :1].astype(np.float32)


def picture(value: int) -> np.ndarray:
    return np.full((1, 2, 2), value, np.uint8)


async def ask(batcher: Batcher[Any, Any], count: int) -> list[int]:
    return [int(row[0]) for row in await asyncio.gather(*(batcher.submit(picture(value)) for value in range(count)))]


@pytest.mark.parametrize("example_s", [0.0, SLOW])
def test_those_who_wait_together_are_computed_together_and_get_their_own_answers(example_s: float) -> None:
    echo = Echo()

    async def run() -> list[int]:
        return await ask(Batcher(echo, PICTURES, example_s, max_batch=8), 20)

    assert asyncio.run(run()) == list(range(20))
    assert echo.batches == [8, 8, 4]


def test_one_who_comes_alone_is_answered_alone() -> None:
    echo = Echo()

    async def run() -> None:
        batcher = Batcher(echo, PICTURES, 0.0)
        for _ in range(3):
            await ask(batcher, 1)

    asyncio.run(run())
    assert echo.batches == [1, 1, 1]


def test_while_a_batch_is_computed_the_next_one_gathers() -> None:
    started, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        go_on.wait(10)

    echo = Echo(before=hold)

    async def run() -> list[int]:
        batcher = Batcher(echo, PICTURES, SLOW)
        first = batcher.submit(picture(100))
        await asyncio.to_thread(started.wait, 10)
        later = asyncio.gather(*(batcher.submit(picture(value)) for value in range(5)))
        go_on.set()
        return [int(row[0]) for row in [await first, *await later]]

    assert asyncio.run(run()) == [100, 0, 1, 2, 3, 4]
    assert echo.batches == [1, 5]


@pytest.mark.parametrize("example_s", [0.0, SLOW])
def test_a_failure_reaches_everyone_and_the_next_batch_works(example_s: float) -> None:
    failures = iter([True, False])

    def predict(pixels: np.ndarray) -> np.ndarray:
        if next(failures):
            raise ValueError("broken")
        return np.zeros((len(pixels), 1), np.float32)

    async def run() -> list[object]:
        batcher = Batcher(predict, PICTURES, example_s)
        failed = await asyncio.gather(*(batcher.submit(picture(0)) for _ in range(3)), return_exceptions=True)
        return [*failed, await batcher.submit(picture(0))]

    *failed, good = asyncio.run(run())
    assert len(failed) == 3
    assert all(isinstance(error, ValueError) for error in failed)
    assert isinstance(good, np.ndarray)


def test_a_client_that_left_disturbs_nobody() -> None:
    async def run() -> int:
        batcher = Batcher(Echo(), PICTURES, 0.0)
        gone, stays = batcher.submit(picture(1)), batcher.submit(picture(2))
        gone.cancel()
        return int((await stays)[0])

    assert asyncio.run(run()) == 2


@pytest.mark.parametrize("example_s", [0.0, SLOW])
def test_a_batch_that_came_as_one_is_computed_as_one(example_s: float) -> None:
    echo = Echo()

    async def run() -> np.ndarray:
        return await Batcher(echo, PICTURES, example_s, max_batch=8).run(
            np.stack([picture(value) for value in range(20)])
        )

    assert asyncio.run(run()).ravel().tolist() == list(range(20))
    assert echo.batches == [20]


@pytest.mark.parametrize("waits", [True, False])
def test_what_is_long_for_the_event_loop_is_computed_beside_it(waits: bool) -> None:
    """A text counts by its length: a single long one goes to a thread, whether it waits for others or comes as one."""
    threads = list[int]()

    def predict(texts: list[str]) -> np.ndarray:
        threads.append(threading.get_ident())
        return np.zeros((len(texts), 1), np.float32)

    async def run() -> None:
        batcher = Batcher(predict, Texts(), INLINE_S / 2)
        for text in ("short", "x" * 3 * USUAL_CHARACTERS):
            await (batcher.submit(text) if waits else batcher.run([text]))

    asyncio.run(run())
    assert threads[0] == threading.get_ident() != threads[1]
