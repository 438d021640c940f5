"""A connection to a cluster's Jobs API, with the token handled: asked for where it is wanted, insisted on where not."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from raytune_app.cluster.token import token_file
from raytune_app.errors import InputError, RaytuneError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

    Jobs = JobSubmissionClient
    """For rooms that do without Ray."""

_log = logging.getLogger(__name__)
ANSWER_S = 10.0
TUNNEL = "`ray dashboard cluster.yaml` brings it to http://127.0.0.1:8265; check --address and that the head runs"
NO_TOKEN = "copy the cluster's token into ~/.ray/auth_token, or set RAY_AUTH_TOKEN"  # noqa: S105  # says where it goes


@contextmanager
def answered() -> Iterator[None]:
    """Turns what Ray's client raises when the cluster stops answering into a RaytuneError."""
    import requests

    try:
        yield
    except (requests.RequestException, RuntimeError, ConnectionError, OSError) as error:
        told = str(error).strip().partition("\n")[0]
        raise RaytuneError(f"the cluster does not answer as it should: {told}", TUNNEL) from error


def is_jobs_address(address: str | None) -> bool:
    """Whether the address is a dashboard's, where jobs are submitted, and not Ray's own."""
    return address is not None and address.startswith(("http://", "https://"))


def jobs_address(given: str | None) -> str:
    """The address given, else `RAY_API_SERVER_ADDRESS`. Raises InputError if there is none, or it is none."""
    address = given or os.environ.get("RAY_API_SERVER_ADDRESS")
    if not address:
        raise InputError("which cluster?", "give --address http://127.0.0.1:8265, or set RAY_API_SERVER_ADDRESS")
    if not is_jobs_address(address):
        said = f"{address!r} is not the address of a dashboard"
        raise InputError(said, "it begins with http:// or https://, for example http://127.0.0.1:8265")
    return address.rstrip("/")


def connect_jobs(address: str, *, insecure: bool = False) -> JobSubmissionClient:
    """A client of the cluster's Jobs API that shows the token with every request.

    Args:
        address: `http://host:port` of the dashboard.
        insecure: take a cluster that asks nobody for a token.

    Raises:
        InputError: nothing answers there, it is open to everybody, or it does not accept our token.
    """
    wants_token = _wants_token(address)
    if wants_token and not _is_private(address):
        _log.warning("the token goes to %s unencrypted: use https, or a tunnel (`ray dashboard`)", address)
    if not wants_token and not insecure:
        said = f"the cluster at {address} asks for no token: whoever reaches it can run anything there"
        remedy = "start it with RAY_AUTH_MODE=token (see cluster.yaml), or say --insecure if nobody else reaches it"
        raise InputError(said, remedy)
    headers = {"Authorization": f"Bearer {read_token()}"} if wants_token else {}
    _check(address, headers)
    from ray.job_submission import JobSubmissionClient

    client = JobSubmissionClient(address, headers=headers)
    quiet()
    if not wants_token:  # in a process that knows a token Ray would show it to anybody
        client._headers.pop("authorization", None)  # noqa: SLF001  # there is no other way
    return client


def quiet() -> None:
    """Ray's own words are for its own users; it sets its loggers anew with every part of it that is imported."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "ray":
            logging.getLogger(name).setLevel(logging.ERROR)


def read_token() -> str:
    """The token that Ray would show; a file of ours that others may read is closed to them first.

    Raises InputError if there is none.
    """
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    path = token_file("token")
    assert path is not None
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"the cluster wants a token, and {_shown(path)} cannot be read", NO_TOKEN) from error
    if not text:
        raise InputError(f"the cluster wants a token, and {_shown(path)} is empty", NO_TOKEN)
    if path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return text


def _wants_token(address: str) -> bool:
    try:
        answer = httpx.get(f"{address}/api/authentication_mode", timeout=ANSWER_S)
        if answer.status_code == httpx.codes.NOT_FOUND:  # a Ray from before there were tokens
            return False
        return bool(answer.raise_for_status().json()["authentication_mode"] != "disabled")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise InputError(f"no Ray dashboard answers at {address}", TUNNEL) from error


def _check(address: str, headers: dict[str, str]) -> None:
    try:
        answer = httpx.get(f"{address}/api/version", headers=headers, timeout=ANSWER_S)
    except httpx.HTTPError as error:
        raise InputError(f"no Ray dashboard answers at {address}", TUNNEL) from error
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise InputError(f"the cluster at {address} does not accept our token", NO_TOKEN)
    if answer.is_error:
        raise InputError(f"{address} answers {answer.status_code}: is it a Ray dashboard?", TUNNEL)


def _is_private(address: str) -> bool:
    """Whether nobody on the way can read what is sent."""
    parts = urlsplit(address)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")


def _shown(path: Path) -> str:
    return str(path).replace(str(Path.home()), "~", 1)
