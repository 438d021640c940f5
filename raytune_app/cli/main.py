"""`raytune`: parses the command line, runs the verb, turns every error into one line, a remedy and an exit code."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import raytune_app
from raytune_app.cli import (
    board,
    cluster,
    demo,
    door,
    endpoint,
    evaluate,
    jobs,
    listing,
    logs,
    models,
    predict,
    rollout,
    serving,
    studies,
    watch,
)
from raytune_app.cli.interrupt import INTERRUPTED
from raytune_app.errors import RaytuneError


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; each verb sets `run`, a function from the parsed arguments to an exit code."""
    parser = argparse.ArgumentParser(
        prog="raytune", description=raytune_app.__doc__, epilog="start with: raytune demo", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"raytune {raytune_app.__version__}")
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for group in (
        studies,
        jobs,
        listing,
        watch,
        logs,
        board,
        cluster,
        models,
        rollout,
        endpoint,
        door,
        predict,
        evaluate,
        serving,
        demo,
    ):
        group.add(subparsers)
    for verb in subparsers.choices.values():
        _add_common(verb)
    return parser


def _add_common(verb: argparse.ArgumentParser) -> None:
    common = verb.add_argument_group("common options")
    common.add_argument(
        "--storage", metavar="URI", help="folder or URI of studies and models (default: $RAYTUNE_STORAGE or ~/.raytune)"
    )
    common.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 ok, 1 the run failed, 2 bad input."""
    args = build_parser().parse_args(argv)
    sys.path.append(str(Path.cwd()))  # where a user's own network may be, as for `python -m`
    try:
        return int(args.run(args))
    except RaytuneError as error:
        return _fail(error, with_traceback=args.debug)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return 1
    except Exception as error:
        if args.debug:
            raise
        print(
            f"error: {type(error).__name__}: {error}\n  this is a fault of raytune's; --debug shows where",
            file=sys.stderr,
        )
        return 1


def _fail(error: RaytuneError, *, with_traceback: bool) -> int:
    if with_traceback:
        traceback.print_exc()
    remedy = f"\n  {error.remedy}" if error.remedy else ""
    print(f"error: {error.message}{remedy}", file=sys.stderr)
    return error.exit_code
