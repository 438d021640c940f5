"""Tables as the text that a verb prints."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

WIDTH = 140
"""Where no terminal says how wide."""


def drawn(*parts: RenderableType, styled: bool = False) -> str:
    """The text of these, one below the other.

    Args:
        styled: for a terminal: as wide as it is, and with its colours.
    """
    console = Console(file=io.StringIO(), width=Console().width if styled else WIDTH, force_terminal=styled)
    for part in parts:
        console.print(part, highlight=False)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()).strip("\n")
