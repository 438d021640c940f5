"""The token that opens a Ray cluster: where it lies, who may read it, and whether a cluster wants it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

AUTH_MODE = "RAY_AUTH_MODE"
KNOCK_S = 5.0


def private_token() -> Path | None:
    """Ray turns token auth on for a local cluster but writes the token for everyone to read; here its owner alone."""
    path = token_file(os.environ.get(AUTH_MODE, "token"))
    if path is None:
        return None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    elif path.stat().st_uid == os.getuid():
        path.chmod(0o600)
    return path


def token_file(auth_mode: str | None) -> Path | None:
    """Where the token lies; None if it is not in a file, or none is used."""
    if auth_mode != "token" or "RAY_AUTH_TOKEN" in os.environ:
        return None
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def show_token_if_asked(address: str) -> None:
    """Ask the head whether it wants a token: for an explicit address Ray itself never shows one, it fails after 20 s.

    Raises ConnectionError if nobody answers, or if a token is wanted and there is none.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    if asks_for_token(address) and not maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
        raise ConnectionError("it wants a token and there is none here")


def asks_for_token(address: str) -> bool:
    """Whether the head at `host:port` answers only who shows one. Raises ConnectionError if nobody answers."""
    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")(b"", timeout=KNOCK_S)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise ConnectionError("nothing answers there") from error
            return True
    return False
