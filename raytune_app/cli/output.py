"""Where words go: results to stdout, progress to stderr, one JSON object instead with --json."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any


def say(text: str) -> None:
    """Progress, for people: to stderr."""
    print(text, file=sys.stderr, flush=True)


def result(args: argparse.Namespace, text: str, content: Any, then: Sequence[str] = ()) -> None:
    """The verb's result: `text` and the next useful commands, or `content` as JSON with --json."""
    if args.json:
        print(json.dumps(content, allow_nan=False, default=str), flush=True)
        return
    if text:
        print(text, flush=True)
    if then:
        print("next:\n  " + "\n  ".join(_at_storage(command, args.storage) for command in then), flush=True)


def _at_storage(command: str, storage: str | None) -> str:
    """A command about a study or model, with the storage this one was given."""
    named = storage and command.startswith("raytune ") and not command.startswith("raytune check")
    return f"{command} --storage {shlex.quote(str(storage))}" if named else command
