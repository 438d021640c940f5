"""`raytune board`: where it listens, and what it prints."""

import socket

import pytest

from raytune_app.cli import board
from raytune_app.cli.main import build_parser, main
from raytune_app.errors import InputError


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.1.2.3", True), ("::", False), ("lab", False)],
)
def test_only_loopback_needs_no_token(host: str, is_loopback: bool) -> None:
    assert board._is_loopback(host) is is_loopback


def test_the_usual_port_is_given_up_if_it_is_taken_but_not_one_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(board, "PORT", port)
        with board._listen("127.0.0.1", None) as other:
            assert other.getsockname()[1] != port
        with pytest.raises(InputError, match=f"127.0.0.1:{port}"):
            board._listen("127.0.0.1", port)
    with pytest.raises(InputError, match="no port"):
        board._listen("127.0.0.1", 70_000)


def test_an_address_that_is_none_is_told_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    assert main(["board", "--host", "203.0.113.7", "--storage", str(tmp_path)]) == 2
    assert "choose another --host" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8270/"), ("::1", "http://[::1]:8270/"), ("board.lab", "http://board.lab:8270/")],
)
def test_the_address_is_one_that_a_browser_takes(host: str, url: str) -> None:
    assert board._url(host, 8270) == url


def test_a_study_that_is_not_there_is_told_before_anything_listens(tmp_path: object) -> None:
    assert main(["board", "none", "--storage", str(tmp_path)]) == 2
    assert build_parser().parse_args(["board"]).open is False
