"""The verb key, and the options about keys and TLS: of `serve`, which sets them, and of verbs that ask an endpoint."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytune_app.cli.output import result, say

if TYPE_CHECKING:
    from raytune_app.endpoint.lock import Lock

KEY_VARIABLE = "RAYTUNE_API_KEY"


def add(subparsers: Any) -> None:
    """Add the verb."""
    key = subparsers.add_parser("key", help="make an API key for an endpoint")
    key.add_argument("action", choices=("new",), help="make one and print it, this once")
    key.add_argument("--file", required=True, type=Path, help="the keys' file, which gets its hash; made if missing")
    key.add_argument("--scope", choices=("infer", "admin"), default="infer", help="what it may do (default: infer)")
    key.add_argument("--name", help="whom it is for (default: the scope)")
    key.add_argument("--rate", help="at most so many requests, such as 100/s or 5000/h (default: no limit)")
    key.set_defaults(run=_key)


def add_lock_options(serve: argparse.ArgumentParser) -> None:
    """What `serve` is told about its door; `lock_of` reads it."""
    door = serve.add_argument_group("who may ask")
    door.add_argument("--api-keys", metavar="FILE", type=Path, help="let in only who shows a key of this file")
    door.add_argument(
        "--without-keys", action="store_true", help="let everyone ask who reaches --host, though others reach it"
    )
    door.add_argument("--tls-cert", metavar="FILE", type=Path, help="certificate in PEM: speak HTTPS")
    door.add_argument("--tls-key", metavar="FILE", type=Path, help="its private key in PEM")
    door.add_argument("--timeout", metavar="SECONDS", type=float, default=60.0, help="for one request (default: 60)")


def lock_of(args: argparse.Namespace) -> Lock:
    """Raises InputError, NotFoundError for what is no lock."""
    from raytune_app.endpoint.lock import Lock

    lock = Lock(args.api_keys, args.tls_cert, args.tls_key, args.without_keys, args.timeout)
    lock.check(args.host)
    return lock


def who_may_ask(lock: Lock, host: str) -> str:
    """In a line, for whoever starts the endpoint."""
    from raytune_app.endpoint.lock import is_here

    if lock.keys_file is not None:
        keyless = "" if lock.tls_cert or is_here(host) else "; without TLS the network sees the keys"
        return f"only who shows a key of {lock.keys_file} may ask{keyless}"
    if is_here(host):
        return f"it listens on {host}, this machine only; for others: --host and --api-keys"
    return "everyone who gets there may ask; only this machine may load and unload"


def add_client_options(verb: argparse.ArgumentParser) -> None:
    """What a verb needs to ask an endpoint that is locked; `client_of` reads it."""
    verb.add_argument("--key", help=f"API key of the endpoint (default: ${KEY_VARIABLE}, which others do not see)")
    verb.add_argument("--ca", metavar="FILE", type=Path, help="certificate to trust, of the endpoint or of its signer")


def client_of(args: argparse.Namespace) -> dict[str, Any]:
    """For `Endpoint`."""
    return {"key": args.key or os.environ.get(KEY_VARIABLE) or None, "trust": args.ca}


def _key(args: argparse.Namespace) -> int:
    from raytune_app.endpoint.keys import Scope, new_key

    name = args.name or args.scope
    key = new_key(args.file, name, Scope(args.scope), args.rate)
    then = [
        f"raytune serve MODEL --api-keys {args.file}",
        f"{KEY_VARIABLE}=KEY raytune predict MODEL EXAMPLE --url URL",
    ]
    result(args, key, {"key": key, "name": name, "scope": args.scope, "file": str(args.file)}, then)
    say(f"this is the only time it is shown; {args.file} keeps its hash")
    return 0
