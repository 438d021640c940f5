"""Nothing that a study says can steer a terminal, and small pictures say what they should."""

from hypothesis import given
from hypothesis import strategies as st

from raytune_app.display.text import BLOCKS, curve_range, duration, number, one_line, output_lines, printable, sparkline


@given(st.text(st.characters(codec=None)))
def test_what_is_printable_steers_no_terminal(text: str) -> None:
    shown = printable(text)
    assert all(code >= " " or code == "\n" for code in shown)
    assert not set(shown) & {"\x7f", "\x9b", "\u2028", "\u202e", "\u2066"}
    shown.encode()
    assert len(one_line(text, 40)) <= 40 and "\n" not in one_line(text)


def test_plain_text_stays_as_it_is_in_any_script() -> None:
    text = "فيلم جميل \N{FACE WITH TEARS OF JOY}\nmot"
    assert printable(text) == text
    assert printable("\x1b[31mred\x07") == "\\x1b[31mred\\x07"


def test_of_a_line_that_was_drawn_again_and_again_the_last_stays() -> None:
    assert output_lines("1%\r50%\r100%\r\ndone\x1b[0m\n") == ["100%", "done\\x1b[0m"]


@given(st.lists(st.none() | st.floats(), max_size=60), st.floats(-5, 5), st.floats(-5, 5))
def test_a_sparkline_is_as_wide_as_allowed_whatever_the_values(
    values: list[float | None], low: float, high: float
) -> None:
    assert len(sparkline(values, low, high, 12)) == min(12, len(values))


def test_a_sparkline_rises_with_its_values_and_ends_with_the_last() -> None:
    assert sparkline([0.0, 0.5, 1.0], 0, 1) == f"{BLOCKS[0]}{BLOCKS[4]}{BLOCKS[7]}"
    assert sparkline([*[0.0] * 100, 1.0], 0, 1, 10).endswith(f"{BLOCKS[0]}{BLOCKS[7]}")


def test_one_trial_that_is_lost_does_not_flatten_the_others() -> None:
    losses: list[float | None] = [float(value) for value in range(1, 20)]
    assert curve_range([[*losses, 1e9]], sign=-1) == (1.0, 18.0)
    assert curve_range([[*losses, -1e9]], sign=1) == (2.0, 19.0)


def test_numbers_and_durations_are_short() -> None:
    assert [number(value) for value in (0.5, None, 12345.678, 1e-5, 0.0)] == [
        "0.5000",
        "-",
        "1.235e+04",
        "1e-05",
        "0.0000",
    ]
    assert [duration(value) for value in (0, 59.6, 3600, 90_000)] == ["0 s", "1 m 0 s", "1 h 0 m", "1 d 1 h"]
