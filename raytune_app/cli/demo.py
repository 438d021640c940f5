"""The verb `demo`: the whole way from real data to an answering endpoint, in about three minutes on two cores."""

from __future__ import annotations

import argparse
from typing import Any


def add(subparsers: Any) -> None:
    """Add the verb."""
    demo = subparsers.add_parser(
        "demo", help="all of it in about three minutes: tune, choose, register, serve, evaluate"
    )
    demo.add_argument("--text", action="store_true", help="sentences by their sentiment in the place of digits")
    demo.add_argument("--keep", action="store_true", help="leave the dashboard and the endpoint running until Ctrl-C")
    demo.add_argument("--port", type=int, default=8000, help="port of the endpoint on 127.0.0.1 (default: 8000)")
    demo.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> int:
    from raytune_app.cli.walkthrough import walk_through

    return walk_through(args)
