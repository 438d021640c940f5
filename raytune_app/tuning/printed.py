"""What a trial's own code prints, for the event log: Python's stdout and stderr, bounded, and still printed."""

from __future__ import annotations

import io
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from types import TracebackType
from typing import Any, Self, TextIO

LIMIT = 16_000
"""Characters kept of one epoch; a note says so where there were more."""


class Printed:
    """A context manager; `text` is what was printed inside, by all threads. What native code writes is not seen."""

    def __init__(self) -> None:
        self._kept = io.StringIO()
        self._stack = ExitStack()

    @property
    def text(self) -> str:
        """At most LIMIT characters, and a note."""
        text = self._kept.getvalue()
        return text if len(text) <= LIMIT else f"{text[:LIMIT]}\n(more was printed, and is left out)\n"

    def __enter__(self) -> Self:
        self._stack.enter_context(redirect_stdout(_Both(sys.stdout, self._kept)))
        self._stack.enter_context(redirect_stderr(_Both(sys.stderr, self._kept)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


class _Both:
    """Writes to where it went before, and keeps a copy until there is enough."""

    def __init__(self, before: TextIO, kept: io.StringIO) -> None:
        self._before, self._kept = before, kept

    def write(self, text: str) -> int:
        if self._kept.tell() <= LIMIT:
            self._kept.write(text[: LIMIT + 1])
        return self._before.write(text)

    def flush(self) -> None:
        self._before.flush()

    def fileno(self) -> int:
        return self._before.fileno()

    def __getattr__(self, name: str) -> Any:
        """What else a stream has, `buffer` and `encoding` say, is the one before's."""
        return getattr(self._before, name)
