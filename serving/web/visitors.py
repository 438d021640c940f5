"""Who asks over HTTP: the key that is shown, and whether it is this machine itself that asks."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from serving.door.door import Visitor, is_loopback, secret_of

_FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})


def visitor(headers: Iterable[tuple[bytes, bytes]], peer_header: bytes | None) -> Visitor:
    """Who asks.

    Local is who the proxy before us says it met on the loopback interface, and only if nobody passed the request on and
    no page of another site is behind it: a browser asks this machine too, on behalf of strangers.

    Args:
        peer_header: in which the proxy, and nobody else, tells its client's address; None: there is no such proxy.
    """
    shown: dict[bytes, bytes] = {}
    for name, value in headers:
        shown.setdefault(name, value)
    secret = secret_of(shown.get(b"authorization", b""), shown.get(b"x-api-key", b""))
    peer = None if peer_header is None else shown.get(peer_header, b"").decode("latin-1")
    is_local = is_loopback(peer) and not _FORWARDED & shown.keys() and _is_own_site(shown)
    return Visitor(secret, is_local)


def _is_own_site(shown: dict[bytes, bytes]) -> bool:
    """Whether the address asked for is this machine's, and a page that asks is ours.

    So neither a stranger's name that points here (DNS rebinding) nor a form of another site (CSRF) gets in.
    """
    host = shown.get(b"host", b"").decode("latin-1").lower()
    try:
        name = urlsplit(f"//{host}").hostname
        origin = urlsplit(shown.get(b"origin", b"").decode("latin-1").lower())
    except ValueError:
        return False
    return (name == "localhost" or is_loopback(name)) and (b"origin" not in shown or origin.netloc == host)
