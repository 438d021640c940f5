"""The page's colours can be read: contrast ratios as WCAG 2.2 counts them."""

import re

import pytest

from raytune_app.board.assets import assets

TEXT, EDGE = 4.5, 3.0
GROUNDS = ("ground", "card", "hover")
STATES = ("running", "finished", "stopped", "paused", "interrupted", "diverged", "failed")
INKS = ("ink", "soft", "accent", "win", "bad", *(f"state-{state}" for state in STATES))


def _themes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", assets()["style.css"].body.decode(), re.DOTALL)
    return dict(
        zip(("light", "dark"), (dict(re.findall(r"--([\w-]+): (#\w{6});", one)) for one in blocks), strict=True)
    )


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_has_the_largest_contrast() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", GROUNDS)
def test_text_and_edges_stand_out(theme: str, ground: str) -> None:
    shades = _themes()[theme]
    assert {ink: ratio for ink in INKS if (ratio := _contrast(shades[ink], shades[ground])) < TEXT} == {}
    assert _contrast(shades["edge"], shades[ground]) >= EDGE


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_on_a_bar_of_any_state_stands_out(theme: str) -> None:
    shades = _themes()[theme]
    assert all(_contrast(shades["on-bar"], shades[f"state-{state}"]) >= TEXT for state in STATES)
