"""The verb cluster: what is wrong with a cluster's file, and with a cluster that runs."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytune_app.cli.output import result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

WRONG, BAD_INPUT = 1, 2
LOCK = "requirements.lock"
GB = 2**30
ABSENT = "-"
_COLUMNS = ("node", "address", "Ray", "Python", "raytune", "CPU", "GPU", "GB free", "GB shm", "clock ms")


def add(subparsers: Any) -> None:
    """Add the verb."""
    cluster = subparsers.add_parser("cluster", help="check a cluster that runs, or validate a file for one")
    cluster.add_argument("action", choices=("check", "validate"), help="what is wrong with a cluster, or with its file")
    cluster.add_argument("file", metavar="FILE", nargs="?", type=Path, help="validate: a file for `ray up`")
    told = "check: http://HOST:8265 of a dashboard, or HOST:6379 of Ray's head"
    cluster.add_argument("--address", help=f"{told} (default: $RAY_API_SERVER_ADDRESS or $RAY_ADDRESS)")
    cluster.add_argument("--insecure", action="store_true", help="check: go on though the cluster asks for no token")
    told = f"validate: the versions to agree with (default: {LOCK} here, or near FILE)"
    cluster.add_argument("--lock", metavar="FILE", type=Path, help=told)
    cluster.set_defaults(run=_cluster)


def _cluster(args: argparse.Namespace) -> int:
    from raytune_app.errors import InputError

    if (args.action == "validate") != (args.file is not None):
        raise InputError("a file belongs to validate, and only there", "raytune cluster validate cluster.yaml")
    return _validate(args) if args.action == "validate" else _check(args)


def _validate(args: argparse.Namespace) -> int:
    import logging

    logging.getLogger("ray").setLevel(logging.ERROR)
    from raytune_app.cluster.launch import mistakes, read_pins, unedited

    text = _read(args.file)
    found = mistakes(text, read_pins(_read(args.lock or _lock_near(args.file))))
    lines = [f"{args.file}: {len(found)} mistakes", *(f"  {problem}" for problem in found)]
    blanks = unedited(text)
    lines = lines if found else [f"{args.file} is right"]
    lines += [f"still to fill in: line {', '.join(map(str, blanks))}"] if blanks else []
    content = {"file": str(args.file), "mistakes": [asdict(problem) for problem in found], "to_fill_in": blanks}
    result(args, "\n".join(lines), content, [] if found else [f"ray up {args.file}"])
    return BAD_INPUT if found else 0


def _read(file: Path) -> str:
    """Raises InputError."""
    from raytune_app.errors import InputError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}", "check its path; it is a text in UTF-8") from error


def _lock_near(file: Path) -> Path:
    for folder in (Path.cwd(), *file.absolute().parents[:2]):
        if (folder / LOCK).is_file():
            return folder / LOCK
    return Path(LOCK)


def _check(args: argparse.Namespace) -> int:
    from raytune_app.cluster.check import Severity, findings
    from raytune_app.errors import InputError

    address = args.address or os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS")
    if not address:
        raise InputError("which cluster?", "give --address http://127.0.0.1:8265; `ray dashboard` brings it there")
    storage = args.storage or os.environ.get("RAYTUNE_STORAGE", "")
    facts = _facts(address.rstrip("/"), storage, insecure=args.insecure)
    found = findings(facts)
    wrong = any(finding.severity is Severity.PROBLEM for finding in found)
    result(
        args, "", {"address": address, "ok": not wrong, "findings": [asdict(each) for each in found], "facts": facts}
    )
    if not args.json:
        _print(facts, found, address)
    return WRONG if wrong else 0


def _facts(address: str, storage: str, *, insecure: bool) -> dict[str, Any]:
    from raytune_app.cluster import connect, survey
    from raytune_app.cluster.token import asks_for_token
    from raytune_app.errors import InputError
    from raytune_app.jobs.client import connect_jobs, is_jobs_address

    if is_jobs_address(address):
        return survey.by_job(connect_jobs(address, insecure=True), address, storage, insecure=insecure)
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"{address!r} is no address", "give http://HOST:8265 or HOST:6379")
    try:
        is_open = not asks_for_token(address)
    except ConnectionError as error:
        raise InputError(f"cannot connect to Ray at {address}: {error}", "check that its head runs") from error
    if is_open and not insecure:
        return survey.closed(is_open=True)
    with connect(address):
        return survey.attached(storage, is_open=is_open)


def _print(facts: Mapping[str, Any], found: list[Any], address: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if facts["nodes"]:
        console.print(_table(facts["nodes"], address))
    for finding in found:
        style = "red" if finding.severity == "problem" else "yellow"
        console.print(
            Text(f"{finding.severity}: ", style=style) + Text(f"{finding.what}\n  {finding.remedy}", style="")
        )
    problems = sum(finding.severity == "problem" for finding in found)
    console.print(Text(f"problems: {problems}, notes: {len(found) - problems}"))


def _table(nodes: list[Mapping[str, Any]], address: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=address, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for column in _COLUMNS:
        drawn.add_column(column, justify="left" if column in ("node", "address") else "right", no_wrap=column != "node")
    for node in nodes:
        drawn.add_row(*map(Text, _cells(node)), style="red" if node["error"] else "")
    return drawn


def _cells(node: Mapping[str, Any]) -> list[str]:
    name = f"{node['name']} (head)" if node["head"] else str(node["name"])
    amounts = [f"{node['resources'].get(resource, 0):g}" for resource in ("CPU", "GPU")]
    if node["error"]:
        return [name, node["address"], *[ABSENT] * 3, *amounts, *[ABSENT] * 3]
    versions = [str(node[each] or ABSENT) for each in ("ray", "python", "raytune")]
    rooms = [f"{node[each]['free'] / GB:,.0f}" if node[each] else ABSENT for each in ("disk", "shm")]
    return [name, node["address"], *versions, *amounts, *rooms, f"{node['clock']['ahead_s'] * 1e3:+,.0f}"]
