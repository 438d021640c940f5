"""Where words go: results to stdout, progress to stderr, one JSON object instead with --json."""

from __future__ import annotations

import argparse
import json
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
        print("next:\n  " + "\n  ".join(then), flush=True)
