"""Who may see the board, and what a browser is told about each of its pages."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import platform
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "raytune_board_"
"""How a cookie's name begins; browsers do not tell ports apart, so each board has a name of its own."""
FRAME = "/figure"
"""The page that draws one figure: apart from the board, since plotly compiles functions at run time."""
OPEN = frozenset({"/assets/plotly.min.js", "/assets/frame.js", "/assets/frame.css", FRAME})
"""What needs no token: a frame of an opaque origin sends no cookie, and none of these says anything of a study."""

_CLOSED = "base-uri 'none'; form-action 'none'"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    f"frame-src 'self'; frame-ancestors 'none'; {_CLOSED}"
)
FRAME_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src data: blob:; "
    f"sandbox allow-scripts; frame-ancestors 'self'; {_CLOSED}"
)


class Entry:
    """Lets requests through to `application` that come by an address of this machine and, if need be, with the token.

    Args:
        application: the board itself.
        token: without which nobody comes in; None: whoever reaches this machine's loopback interface may.
        host: a further name that the board may be asked by, beside this machine's own and addresses.
    """

    def __init__(self, application: Application, token: str | None, host: str | None = None) -> None:
        self._application = application
        self._token = token
        self._hosts = {"localhost"} if token is None else {"localhost", platform.node().lower(), (host or "").lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if scope["method"] not in {"GET", "HEAD"}:
            await _answer(send, 405, "The board only shows; it is asked by GET.")
        elif not self.knows(headers.get(b"host", "")):
            await _answer(send, 421, "The board is not known by this name. Open it by the address it printed.")
        elif self._token and "token" in query:
            await self._come_in(scope, query, send)
        elif self._token and scope["path"] not in OPEN and not self._is_shown(headers):
            await _answer(send, 401, "The board wants its token. Open the address that `raytune board` printed.")
        else:
            await self._application(scope, receive, _with_headers(send, scope["path"]))

    def knows(self, host: str) -> bool:
        """Whether a request for this Host header means this machine: else a stranger's name points here.

        An address in digits is nobody's name, so with a token any will do; without one only loopback's.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._hosts - {""}
        return address.is_loopback or self._token is not None

    async def _come_in(self, scope: Scope, query: dict[str, str], send: Send) -> None:
        assert self._token is not None
        if not _equal(query.pop("token"), self._token):
            await _answer(send, 401, "This is not the board's token. Open the address that `raytune board` printed.")
            return
        rest = f"?{urlencode(query)}" if query else ""
        cookie = f"{_name(self._token)}={_kept(self._token)}; HttpOnly; SameSite=Lax; Path=/"
        to = [(b"location", f"/{rest}".encode()), (b"set-cookie", cookie.encode())]
        await _answer(send, 303, "", to)

    def _is_shown(self, headers: dict[bytes, str]) -> bool:
        assert self._token is not None
        scheme, _, bearer = headers.get(b"authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(bearer.strip(), self._token):
            return True
        # By hand: http.cookies drops all that follows a cookie it dislikes, and other programs of this host set some.
        cookies = (part.strip().partition("=") for part in headers.get(b"cookie", "").split(";"))
        wanted = _name(self._token)
        return any(name == wanted and _equal(value, _kept(self._token)) for name, _, value in cookies)


def _name(token: str) -> str:
    return COOKIE + _kept(token)[:8]


def _kept(token: str) -> str:
    """What a browser keeps: not the token itself, so that what it stores opens no other door."""
    return hashlib.sha256(b"raytune board " + token.encode()).hexdigest()


def _equal(shown: str, right: str) -> bool:
    return hmac.compare_digest(shown.encode(), right.encode())


def _headers(path: str) -> list[tuple[bytes, bytes]]:
    policy = FRAME_POLICY if path == FRAME else POLICY
    shared = b"cross-origin" if path in OPEN else b"same-origin"
    return [
        (b"content-security-policy", policy.encode()),
        (b"cross-origin-resource-policy", shared),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]


def _with_headers(send: Send, path: str) -> Send:
    async def sends(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_headers(path)]
        await send(message)

    return sends


async def _answer(send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    body = f"{text}\n".encode()
    plain = (b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())
    shown = [*plain, *_headers(""), (b"cache-control", b"no-store"), *(headers or ())]
    await send({"type": "http.response.start", "status": status, "headers": shown})
    await send({"type": "http.response.body", "body": body})
