"""Words and small pictures for a terminal; text that comes from a study is made harmless first."""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = "·"
"""In a sparkline, in the place of a value that is none."""
ABSENT = "-"
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_BREAKS = [0x2028, 0x2029]
_SURROGATES = range(0xD800, 0xE000)
_SHOWN = {code: f"\\x{code:02x}" for code in _CONTROLS if chr(code) not in "\n\t"}
_SHOWN |= {code: f"\\u{code:04x}" for code in (*_DIRECTIONS, *_BREAKS, *_SURROGATES)}
_SHOWN[ord("\t")] = "    "


def printable(text: object) -> str:
    """The text with every character spelled out that would steer a terminal: escapes, directions, half characters.

    Line feeds stay.
    """
    return str(text).translate(_SHOWN)


def one_line(text: object, limit: int = 200) -> str:
    """The text on one line, printable, cut after `limit` characters."""
    line = printable(" ".join(str(text).splitlines()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def output_lines(text: str) -> list[str]:
    """What a program printed, as a terminal would have left it: of a line that was drawn again and again the last."""
    return [printable(line.rstrip("\r").rpartition("\r")[2]) for line in text.rstrip("\n").split("\n")]


def number(value: object) -> str:
    """A score in few characters: four decimals, or four digits where these would say nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ABSENT if value is None else one_line(value, 20)
    if value == 0 or 1e-3 <= abs(value) < 1e4:  # the widths of a column
        return f"{value:.4f}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """In the two largest units: `41 s`, `3 m 12 s`, `5 h 2 m`, `2 d 7 h`."""
    whole = max(0, round(seconds))
    for size, unit, below, part in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // below} {part}"
    return f"{whole} s"


def sparkline(values: Sequence[float | None], low: float, high: float, width: int = 12) -> str:
    """A curve in block characters, one a value, or the last of each stretch where there are more than `width`.

    Args:
        values: None or not finite where there is none.
        low, high: what the lowest and the highest block stand for; values beyond are drawn as these.
    """
    shown = values if len(values) <= width else [values[(i + 1) * len(values) // width - 1] for i in range(width)]
    return "".join(_block(value, low, high) for value in shown)


def curve_range(curves: Sequence[Sequence[float | None]], sign: int) -> tuple[float, float]:
    """What a common scale of several curves should span: up to the best, down to the tenth part that is worst.

    Args:
        sign: +1 if larger is better; with -1 the best is the low end.
    """
    values = sorted(value for curve in curves for value in curve if value is not None and math.isfinite(value))
    if not values:
        return 0.0, 1.0
    tenth = len(values) // 10
    return (values[tenth], values[-1]) if sign > 0 else (values[0], values[-1 - tenth])


def _block(value: float | None, low: float, high: float) -> str:
    if value is None or not math.isfinite(value):
        return GAP
    share = (value - low) / (high - low) if high > low else 0.5
    return BLOCKS[round(min(1.0, max(0.0, share)) * (len(BLOCKS) - 1))]
