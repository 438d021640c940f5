import sys

import pytest

from raytune_app.tuning.printed import LIMIT, Printed


def test_what_is_printed_is_kept_and_still_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with Printed() as printed:
        sys.stdout.write("to stdout\n")
        sys.stderr.write("to stderr\n")
    sys.stdout.write("afterwards\n")
    assert printed.text == "to stdout\nto stderr\n"
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("to stdout\nafterwards\n", "to stderr\n")


def test_a_flood_is_bounded_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with Printed() as printed:
        for _ in range(100):
            sys.stdout.write("x" * LIMIT)
    assert printed.text.startswith("x" * LIMIT)
    assert "more was printed" in printed.text
    assert len(printed.text) < LIMIT + 100


def test_an_error_inside_puts_the_streams_back() -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(ZeroDivisionError), Printed():
        raise ZeroDivisionError
    assert (sys.stdout, sys.stderr) == before
