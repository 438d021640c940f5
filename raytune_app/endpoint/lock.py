"""How the endpoint is locked: who holds keys, whether TLS is spoken, how long an answer may take.

Open to the world and without keys is refused unless it is asked for in as many words.
"""

from __future__ import annotations

import ipaddress
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raytune_app.endpoint.front import Front
from raytune_app.endpoint.keys import digest, read_keys
from raytune_app.errors import InputError

TIMEOUT_S = 60.0
MAX_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Lock:
    """What `raytune serve` is told about its door.

    Attributes:
        keys_file: who may ask; None: everyone who gets there.
        tls_cert, tls_key: files in PEM; None: plain HTTP.
        without_keys: the user says that everyone who reaches another host than the loopback may ask.
        timeout_s: a request has so long; its client may want less.
        own_key: opens everything, for whoever started the endpoint; replicas know its hash.
    """

    keys_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    without_keys: bool = False
    timeout_s: float = TIMEOUT_S
    own_key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def scheme(self) -> str:
        return "https" if self.tls_cert else "http"

    def check(self, host: str) -> None:
        """Raises InputError if this is no lock for an endpoint on `host`, NotFoundError for a missing keys' file."""
        if self.keys_file is not None:
            read_keys(self.keys_file)
        elif not self.without_keys and not is_here(host):
            raise InputError(
                f"everyone who reaches {host} could ask",
                "give --api-keys FILE (made by: raytune key new --scope infer --file FILE), or say --without-keys",
            )
        if not 0 < self.timeout_s <= MAX_TIMEOUT_S:
            raise InputError(f"no timeout of {self.timeout_s:g} s", f"choose one up to {MAX_TIMEOUT_S:g} s")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InputError("a certificate without its key, or the other way round", "give --tls-cert and --tls-key")
        if self.tls_cert is not None and self.tls_key is not None:
            _check_pair(self.tls_cert, self.tls_key)

    def arguments(self) -> Mapping[str, Any]:
        """What replicas are told: paths and hashes, no secret."""
        file = "" if self.keys_file is None else str(self.keys_file.resolve())
        tls = {"tls_cert": self.tls_cert, "tls_key": self.tls_key}
        paths = {name: str(path.resolve()) for name, path in tls.items() if path is not None}
        return {"keys_file": file, "own_key_sha256": digest(self.own_key), "timeout_s": self.timeout_s, **paths}

    def client(self) -> dict[str, Any]:
        """How whoever started the endpoint asks it; for `Endpoint`."""
        return {"key": self.own_key, "trust": self.tls_cert, "own": True}

    def set_front(self, file: Path | None, host: str) -> str:
        """Tell our HAProxy, whose settings are `file`, where to listen and how; returns where Serve shall.

        Raises InputError if HAProxy is not ours and TLS is wanted.
        """
        if file is None:
            if self.tls_cert is not None:
                remedy = "let the cluster be an embedded one, or put a proxy that speaks TLS before it"
                raise InputError("TLS is spoken by the HAProxy of an embedded cluster only", remedy)
            return host
        known = Front.load(file)
        pem = ""
        if self.tls_cert is not None and self.tls_key is not None:
            both = file.with_name("front.pem")
            both.touch(0o600)
            both.write_bytes(self.tls_cert.read_bytes() + b"\n" + self.tls_key.read_bytes())
            pem = str(both)
        Front(host, pem, known.peer_header, self.timeout_s).save(file)
        return "127.0.0.1"


def is_here(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def trusting(certificate: Path, *, own: bool = False) -> ssl.SSLContext:
    """A client that trusts this certificate, or what it has signed.

    Args:
        own: it is our own server's, which is reached by whatever name: only the certificate counts.

    Raises InputError if it is no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=str(certificate))
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{certificate} is no certificate in PEM", "give the file that --tls-cert had") from error
    if own:
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _check_pair(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "not a certificate and its key" if isinstance(error, OSError) else str(error)
        remedy = "give a certificate and its key in PEM, without a password"
        raise InputError(f"{certificate} and {key} cannot be used: {reason}", remedy) from error


def _no_password() -> bytes:
    return b""
