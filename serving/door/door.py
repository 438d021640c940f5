"""Who asks, and may they: pure, and free of any protocol, so that every protocol can ask the same door.

    visitor = Visitor(secret="raytune_...", is_local=False)
    door.admit(Need.INFER, visitor)

A caller of `admit` decides what a call needs; what it does not know it calls `Need.ADMIN`.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from raytune_app.endpoint.keys import Key, Scope, digest, read_keys
from raytune_app.errors import ForbiddenError, RateError, RaytuneError, UnknownKeyError

MAX_SECRET = 512
"""Characters of a key that are looked at; ours are 51."""

LOOK_AGAIN_S = 1.0
"""A key that is taken out of the file stops working within this time."""

OWN = "raytune"
"""The name of the key that whoever started the endpoint keeps to itself."""

_log = logging.getLogger("ray.serve")


class Need(IntEnum):
    """What a call does, by how much it takes to be allowed to."""

    OPEN = 0  # health, and the page: anyone who gets here
    INFER = 1  # asks a model, or about one
    FEEDBACK = 2  # tells what was right, which may turn a rollout: scope infer, or this machine itself
    ADMIN = 3  # changes what answers


class Visitor(NamedTuple):
    """Who asks, as the protocol tells.

    Attributes:
        secret: the API key shown, if any.
        is_local: known for certain to be a process of this machine; what a client says of itself is not knowing.
    """

    secret: str | None
    is_local: bool


class Door:
    """Lets in or refuses.

    Args:
        keys_file: who may what; it is read again when it changes. None: there are no keys.
        own: the hash of a key that whoever started the endpoint keeps to itself, which opens everything.
        clock: seconds that only grow.

    Raises:
        NotFoundError, InputError: the file is missing or wrong.
    """

    def __init__(
        self, keys_file: Path | None = None, own: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._own = own
        self._file = keys_file
        self._clock = clock
        self._keys: tuple[Key, ...] = () if keys_file is None else read_keys(keys_file)
        self._stamp = _stamp(keys_file)
        self._looked = clock()
        self._buckets: dict[str, Bucket] = {}

    def is_open_to(self, need: Need) -> bool:
        """Whether anybody is let in, so that nobody need be asked who it is."""
        return need is Need.OPEN or (self._file is None and need is Need.INFER)

    def admit(self, need: Need, visitor: Visitor) -> str | None:
        """The name of the visitor's key; None if none was needed.

        Raises:
            UnknownKeyError: a key is needed, and there is none or it is unknown.
            ForbiddenError: what is asked needs more than this visitor has.
            RateError: the key's rate is used up.
        """
        if self.is_open_to(need):
            return None
        if self._is_own(visitor.secret):
            return OWN
        if self._file is None:
            if visitor.is_local:
                return None
            raise ForbiddenError("only this machine itself may change what is served", "use 127.0.0.1, or --api-keys")
        key = self._known(visitor.secret)
        if need is Need.ADMIN and key.scope is not Scope.ADMIN:
            raise ForbiddenError(f"this API key may only {key.scope}", "use a key of scope admin")
        self._count(key)
        return key.name

    def _is_own(self, secret: str | None) -> bool:
        return bool(self._own and secret) and hmac.compare_digest(digest((secret or "")[:MAX_SECRET]), self._own)

    def _known(self, secret: str | None) -> Key:
        self._refresh()
        if not secret:
            raise UnknownKeyError("an API key is needed", "send it as: Authorization: Bearer KEY")
        shown, found = digest(secret[:MAX_SECRET]), None
        for key in self._keys:  # all of them, so that the time does not tell which one was nearly right
            if hmac.compare_digest(shown, key.sha256):
                found = key
        if found is None:
            raise UnknownKeyError("this API key is not known here", "ask whoever runs the endpoint for one")
        return found

    def _refresh(self) -> None:
        """Read a changed file; one that is wrong changes nothing, so that a slip of the editor shuts nobody out."""
        now = self._clock()
        if self._file is None or now - self._looked < LOOK_AGAIN_S:
            return
        self._looked = now
        if (stamp := _stamp(self._file)) != self._stamp:
            try:
                self._keys = read_keys(self._file)
                self._stamp = stamp
            except RaytuneError as error:
                _log.error("the API keys stay as they were: %s", error.message)  # the message is all

    def _count(self, key: Key) -> None:
        if key.limit is None:
            return
        bucket = self._buckets.get(key.sha256)
        if bucket is None or bucket.limit != key.limit:
            bucket = self._buckets[key.sha256] = Bucket(key.limit, self._clock())
        wait_s = bucket.take(self._clock())
        if wait_s:
            raise RateError(f"this API key may ask {key.rate}", f"wait {wait_s:.3g} s", wait_s)


class Bucket:
    """A token bucket: full at first, refilled evenly, one token a request.

    Args:
        limit: so many requests in so many seconds; so many at once are allowed too.
    """

    def __init__(self, limit: tuple[int, float], now: float) -> None:
        self.limit = limit
        self._tokens = float(limit[0])
        self._filled = now

    def take(self, now: float) -> float:
        """0 and a token is gone, or the seconds until there is one."""
        most, period_s = self.limit
        self._tokens = min(most, self._tokens + (now - self._filled) * most / period_s)
        self._filled = now
        if self._tokens < 1:
            return (1 - self._tokens) * period_s / most
        self._tokens -= 1
        return 0.0


def secret_of(authorization: bytes, api_key: bytes) -> str | None:
    """The API key that is shown, as `Authorization: Bearer KEY` or in a header of its own."""
    scheme, _, token = authorization.partition(b" ")
    secret = token.strip() if scheme.lower() == b"bearer" else api_key
    return secret.decode("latin-1") or None


def is_loopback(address: str | None) -> bool:
    """Whether an IP address is this machine's own; False for what is none."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def _stamp(file: Path | None) -> tuple[int, ...] | None:
    try:
        stat = None if file is None else file.stat()
    except OSError:
        return None
    return None if stat is None else (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino, stat.st_mode)
