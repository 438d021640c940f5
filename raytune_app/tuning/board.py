"""What a trial's process and its workers tell one another; its imports are few, since an actor starts with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raytune_app.training.state import State

POLL_S = 5.0
"""Between looks at whether the others are still there."""
HELLO = -1
"""The number of rank 0's first answer: the workers are there."""


@dataclass(frozen=True, slots=True)
class Order:
    """What every worker does next.

    Attributes:
        begin: values and seed of a training to begin; None to go on with the one before.
        state: where it begins, a State, as a list of one reference, which Ray hands over unread; None to begin afresh.
        epochs: how many to train before rank 0 answers, 0 or 1.
        ends: nothing more will come.
    """

    begin: tuple[dict[str, Any], int] | None = None
    state: list[Any] | None = None
    epochs: int = 0
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Of rank 0: the row of the epoch, if there was one, and the state, unless the training has diverged."""

    row: dict[str, Any] | None
    state: State | None


class Board:
    """Orders for the workers and answers of rank 0, by their number; an asyncio actor."""

    def __init__(self) -> None:
        self._orders: list[Order] = []
        self._answers: dict[int, Any] = {}
        self._news = asyncio.Condition()

    async def order(self, order: Order) -> int:
        """Put up an order; returns its number."""
        async with self._news:
            self._orders.append(order)
            self._news.notify_all()
            return len(self._orders) - 1

    async def ordered(self, number: int) -> Order | None:
        """The order of this number; None if none comes in POLL_S."""
        return self._orders[number] if await self._comes(lambda: len(self._orders) > number) else None

    async def answer(self, number: int, reference: list[Any]) -> None:
        """Put up a list of one reference to an Answer."""
        async with self._news:
            self._answers[number] = reference
            self._news.notify_all()

    async def answered(self, number: int) -> list[Any] | None:
        """What `answer` was given, once; None if nothing comes in POLL_S."""
        return self._answers.pop(number) if await self._comes(lambda: number in self._answers) else None

    async def _comes(self, is_there: Callable[[], bool]) -> bool:
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(is_there), POLL_S)
            except TimeoutError:
                return False
        return True
