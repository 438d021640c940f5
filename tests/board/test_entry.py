"""Who may see the board: by this machine's names, and where it listens to others with its token."""

import asyncio
from typing import Any

import httpx
import pytest

from raytune_app.board.entry import OPEN, Entry, Receive, Scope, Send

TOKEN = "right"


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def ask(entry: Entry, path: str = "/", method: str = "GET", **headers: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport: Any = httpx.ASGITransport(entry)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8270") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(asked())


@pytest.mark.parametrize("host", ["localhost:8270", "127.0.0.1:8270", "127.0.0.1", "[::1]:8270", "LOCALHOST"])
def test_this_machine_comes_in(host: str) -> None:
    answer = ask(Entry(_hello, None), host=host)
    assert (answer.status_code, answer.text) == (200, "hello")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8270", "192.168.1.7", "", "[::1", "127.0.0.1.evil.example"]
)
def test_another_name_for_this_machine_does_not(host: str) -> None:
    answer = ask(Entry(_hello, None), host=host)
    assert answer.status_code == 421 and "hello" not in answer.text


def test_only_reading_is_answered() -> None:
    assert ask(Entry(_hello, None), method="POST").status_code == 405


@pytest.mark.parametrize(
    "shown", [{}, {"authorization": "Bearer wrong"}, {"cookie": "raytune_board_=right"}, {"cookie": ";=\x7f"}]
)
def test_without_the_token_nobody_comes_in(shown: dict[str, str]) -> None:
    answer = ask(Entry(_hello, TOKEN), "/api/studies", **shown)
    assert answer.status_code == 401 and "hello" not in answer.text


def test_a_wrong_token_in_the_address_is_refused() -> None:
    assert ask(Entry(_hello, TOKEN), "/?token=wrong").status_code == 401


def test_the_token_of_the_address_becomes_a_cookie_that_opens() -> None:
    entry = Entry(_hello, TOKEN)
    answer = ask(entry, "/?token=right")
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and TOKEN not in cookie
    assert ask(entry, "/api/studies", cookie=cookie.partition(";")[0]).text == "hello"


@pytest.mark.parametrize("other", ['other={"a":1}', "[x]", "=", 'q="a;b"'])
def test_cookies_of_other_programs_do_not_hide_it(other: str) -> None:
    entry = Entry(_hello, TOKEN)
    cookie = ask(entry, "/?token=right").headers["set-cookie"].partition(";")[0]
    for sent in (f"{other}; {cookie}", f"{cookie}; {other}", f"{other};{cookie}"):
        assert ask(entry, "/api/studies", cookie=sent).text == "hello", sent


def test_a_cookie_with_another_value_does_not_open() -> None:
    entry = Entry(_hello, TOKEN)
    cookie = ask(entry, "/?token=right").headers["set-cookie"].partition("=")[0]
    assert ask(entry, cookie=f"{cookie}=right").status_code == 401


def test_two_boards_of_one_machine_do_not_share_a_cookie() -> None:
    names = {ask(Entry(_hello, token), f"/?token={token}").headers["set-cookie"].partition("=")[0] for token in "ab"}
    assert len(names) == 2


def test_the_token_opens_as_a_bearer_too() -> None:
    assert ask(Entry(_hello, TOKEN), authorization="Bearer right").text == "hello"


def test_with_a_token_an_address_in_digits_will_do_and_the_given_name_but_no_other() -> None:
    entry = Entry(_hello, TOKEN, "board.lab")
    bearer = {"authorization": "Bearer right"}
    assert ask(entry, host="10.0.0.3:8270", **bearer).status_code == 200
    assert ask(entry, host="board.lab", **bearer).status_code == 200
    assert ask(entry, host="evil.example", **bearer).status_code == 421


def test_what_needs_no_token_says_nothing_of_studies() -> None:
    assert all(path == "/figure" or path.startswith("/assets/") for path in OPEN)
    assert ask(Entry(_hello, TOKEN), "/assets/frame.js").status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/studies", "/figure", "/?token=wrong"])
def test_every_answer_tells_the_browser_to_load_nothing_from_elsewhere(path: str) -> None:
    for entry in (Entry(_hello, None), Entry(_hello, TOKEN)):
        headers = ask(entry, path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["base-uri"] == "'none'"
        assert "http" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        if path != "/figure":
            assert policy["script-src"] == policy["style-src"] == "'self'" and policy["frame-ancestors"] == "'none'"
        else:
            assert policy["sandbox"] == "allow-scripts" and "connect-src" not in policy
