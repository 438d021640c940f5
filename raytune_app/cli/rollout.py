"""The verb rollout: try a version beside the champion, or stop trying; a running `raytune serve` follows."""

from __future__ import annotations

import argparse
from typing import Any

from raytune_app.cli.output import result
from raytune_app.cli.place import open_registry


def add(subparsers: Any) -> None:
    """Add the verb."""
    rollout = subparsers.add_parser("rollout", help="try a version beside the champion, under a guard")
    rollout.add_argument("model", metavar="MODEL@VERSION", help="such as mnist@4; with --stop just mnist")
    how = rollout.add_mutually_exclusive_group()
    how.add_argument(
        "--canary",
        type=_share,
        metavar="SHARE",
        help="it answers this share, is promoted or rolled back (default: 5%%)",
    )
    how.add_argument("--shadow", type=_share, metavar="SHARE", help="it sees this share and answers nobody")
    how.add_argument("--ab", type=_share, metavar="SHARE", help="it answers this share until --stop, or does harm")
    how.add_argument("--stop", action="store_true", help="take it back")
    guard = rollout.add_argument_group("the guard", "a wrong decision has at most the chance alpha")
    guard.add_argument("--alpha", type=float, metavar="P", help="default: 0.05")
    guard.add_argument("--errors", type=_share, metavar="SHARE", help="failed requests it may have more (default: 1%%)")
    guard.add_argument("--slow", type=_share, metavar="SHARE", help="slow requests it may have more (default: 5%%)")
    guard.add_argument("--slow-ms", type=float, metavar="MS", help="what is slow (default: twice the champion's p95)")
    guard.add_argument("--wrong", type=_share, metavar="SHARE", help="wrong answers it may have more (default: 2%%)")
    guard.add_argument("--labels", action="store_true", help="promote only if labels that came back prove it too")
    guard.add_argument("--deadline", type=float, metavar="S", help="seconds until it is rolled back (default: a day)")
    rollout.set_defaults(run=_rollout)


def _share(text: str) -> float:
    """`5%` or `0.05`."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a share such as 0.05 nor one such as 5%") from None


def _rollout(args: argparse.Namespace) -> int:
    import time

    from raytune_app.errors import InputError
    from raytune_app.rollout.steward import started
    from raytune_app.rollout.traffic import Mode

    registry = open_registry(args)
    name, _, tag = args.model.partition("@")
    if args.stop:
        challenger = registry.end_rollout(name, "by hand")
        content = {"model": name, "challenger": challenger, "mode": None}
        result(args, f"{name}@{challenger} is no longer tried", content, [f"raytune rollout {name}@{challenger}"])
        return 0
    if not tag:
        raise InputError(f"{name!r} names no version", f"give one, such as {name}@2; `raytune models` lists them")
    shares = {Mode.CANARY: args.canary, Mode.SHADOW: args.shadow, Mode.AB: args.ab}
    mode, share = next(((mode, each) for mode, each in shares.items() if each is not None), (Mode.CANARY, 0.05))
    rules = {
        "alpha": args.alpha,
        "errors": args.errors,
        "slow": args.slow,
        "slow_ms": args.slow_ms,
        "wrong": args.wrong,
    }
    more = {"labels": args.labels, "deadline_s": args.deadline}
    challenger = registry.find(args.model).version
    registry.start_rollout(name, started(challenger, mode, share, time.time(), **rules, **more))
    content = {"model": name, "challenger": challenger, "mode": str(mode), "share": share}
    then = [f"raytune serve {name}", f"raytune rollout {name} --stop", f"raytune promote {name}@{challenger}"]
    verb = "sees" if mode is Mode.SHADOW else "answers"
    result(args, f"{name}@{challenger} {verb} {share:.0%} of the requests ({mode})", content, then)
    return 0
