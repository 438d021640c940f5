"""The verb `board`: studies in a browser."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from raytune_app.cli.output import result, say
from raytune_app.cli.place import STUDY_HELP, open_storage

if TYPE_CHECKING:
    import socket

PORT = 8270
"""Taken if it is free and none is asked for; else any other."""
LOOPBACK = "127.0.0.1"


def add(subparsers: Any) -> None:
    """Add the verb."""
    board = subparsers.add_parser("board", help="watch studies in a browser: a local page over any storage")
    board.add_argument("study", nargs="?", help=f"{STUDY_HELP} (default: the list of all)")
    board.add_argument(
        "--host", default=LOOPBACK, help="address to listen on; any but loopback's wants a token, which is printed"
    )
    board.add_argument("--port", type=int, help=f"port to listen on (default: {PORT}, or any if that is taken)")
    board.add_argument("--open", action="store_true", help="open a browser")
    board.set_defaults(run=_board)


def _board(args: argparse.Namespace) -> int:
    import secrets
    from urllib.parse import quote

    from raytune_app.board.server import Board, Server
    from raytune_app.cli.interrupt import terminate_as_interrupt
    from raytune_app.tuning.folder import open_study

    storage = open_storage(args)
    study = open_study(storage, args.study).study if args.study else None
    listener = _listen(args.host, args.port)
    token = None if _is_loopback(args.host) else secrets.token_urlsafe(32)
    url = _url(args.host, listener.getsockname()[1]) + (f"?token={token}" if token else "")
    url += f"#/study/{quote(study)}" if study else ""
    result(args, url, {"url": url, "storage": storage.uri, "study": study})
    if not args.json:
        say("Ctrl-C ends it; studies go on without it")
    if args.open:
        import webbrowser

        webbrowser.open(url)
    terminate_as_interrupt()
    try:
        board = Board(storage, token, args.host)
        if study:
            board.expect(study)
        Server(board).run([listener])
    except KeyboardInterrupt:
        say("the board has ended")
    finally:
        listener.close()
    return 0


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url(host: str, port: int) -> str:
    """How a browser reaches it; one that listens everywhere is reached by this machine's name."""
    import platform

    shown = platform.node() if host in {"0.0.0.0", "::"} else host  # noqa: S104  # compared, not listened on
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"


def _listen(host: str, port: int | None) -> socket.socket:
    import socket

    from raytune_app.errors import InputError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if port is not None and not 0 <= port < 2**16:
        raise InputError(f"--port {port} is no port", "ports are 0 to 65535; 0 takes any that is free")
    tried = [port] if port is not None else [PORT, 0]
    why = ""
    for number in tried:
        try:
            return socket.create_server((host, number), family=family)
        except OSError as error:
            why = error.strerror or str(error)
    raise InputError(f"the board cannot listen on {host}:{tried[-1]}: {why}", "choose another --host or --port")
