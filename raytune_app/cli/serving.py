"""The verb serving: a live table of what an endpoint answers, how fast, and how sure one can be of it."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raytune_app.cli.door import add_client_options, client_of
from raytune_app.cli.output import result

if TYPE_CHECKING:
    from rich.table import Table

    from raytune_app.endpoint.client import Endpoint
    from raytune_app.endpoint.served import Reading, Row

ABSENT = "-"
_COLUMNS = ("model", "version", "part", "share", "requests", "req/s", "errors", "p50 ms", "p99 ms", "batch", "drift")
_WORDS = ("model", "part", "drift")


def add(subparsers: Any) -> None:
    """Add the verb."""
    serving = subparsers.add_parser("serving", help="watch an endpoint: a live table of its models and versions")
    serving.add_argument("--url", default="http://127.0.0.1:8000", help="the endpoint (default: http://127.0.0.1:8000)")
    serving.add_argument("--once", action="store_true", help="print the table once")
    serving.add_argument("--every", type=_seconds, default=2.0, metavar="S", help="seconds between looks (default: 2)")
    add_client_options(serving)
    serving.set_defaults(run=_serving)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError("must be from 0.1 to 3600")
    return value


def _serving(args: argparse.Namespace) -> int:
    from raytune_app.endpoint.client import Endpoint

    with Endpoint(args.url, **client_of(args)) as endpoint:
        if args.once or args.json or not sys.stdout.isatty():
            _once(args, endpoint)
        else:
            _live(args, endpoint)
    return 0


def _once(args: argparse.Namespace, endpoint: Endpoint) -> None:
    from rich.console import Console

    from raytune_app.endpoint.served import rows

    before, start = _look(endpoint), time.monotonic()
    time.sleep(min(args.every, 1.0))
    found = rows(before, _look(endpoint), time.monotonic() - start)
    result(args, "", {"url": endpoint.url, "versions": [asdict(row) for row in found]})
    if not args.json:
        Console().print(table(found, endpoint.url))


def _live(args: argparse.Namespace, endpoint: Endpoint) -> None:
    """Until Ctrl-C. Raises EndpointError if nothing answers at the beginning; later it says so and goes on."""
    from rich.live import Live
    from rich.text import Text

    from raytune_app.endpoint.served import rows
    from raytune_app.errors import EndpointError

    before, start = _look(endpoint), time.monotonic()
    try:
        with Live(table(rows(before, before, args.every), endpoint.url), auto_refresh=False) as live:
            while True:
                time.sleep(args.every)
                try:
                    after, now = _look(endpoint), time.monotonic()
                except EndpointError as error:
                    live.update(Text(f"{error.message}; trying again", style="red"), refresh=True)
                    continue
                live.update(table(rows(before, after, now - start), endpoint.url), refresh=True)
                before, start = after, now
    except KeyboardInterrupt:  # how a person ends it
        return


def _look(endpoint: Endpoint) -> Reading:
    from raytune_app.endpoint.served import read
    from raytune_app.errors import EndpointError

    text = endpoint.metrics()
    try:
        return read(text)
    except (ValueError, KeyError) as error:
        raise EndpointError(f"{endpoint.url}/metrics is not an endpoint of raytune", "check --url") from error


def table(found: list[Row], url: str) -> Table:
    """The rows as a person reads them."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=url, title_justify="left")
    for name in _COLUMNS:
        drawn.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=name != "model")
    for row in found:
        cells = [Text(cell) for cell in _cells(row)]
        if row.errors:
            cells[6].stylize("red")
        if row.drifted:
            cells[10].stylize("yellow")
        drawn.add_row(*cells, style="bold" if row.role == "champion" else "dim" if row.role == "idle" else "")
    return drawn


def _cells(row: Row) -> list[str]:
    part = row.role
    if row.agreed is not None:
        part = f"{part}, {row.agreed:.1%} agree"
    if row.right is not None:
        part = f"{part}, {row.right:.1%} right"
    return [
        row.model,
        row.version,
        part,
        f"{row.share:.0%}",
        f"{row.requests:,}",
        f"{row.requests_per_s:,.1f}",
        f"{row.errors:,}",
        _number(row.p50_ms),
        _number(row.p99_ms),
        _number(row.batch, 1),
        f"{row.drift:.2f} {row.drift_of}{' !' if row.drifted else ''}" if row.drift is not None else ABSENT,
    ]


def _number(value: float | None, digits: int = 2) -> str:
    return ABSENT if value is None else f"{value:,.{digits}f}"
