"""Options of `raytune serve` for who watches the requests: the request log and the traces. Both are off by default."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from raytune_app.errors import InputError

EXPORTER = "opentelemetry.exporter.otlp.proto.http"
INSTALL = "pip install opentelemetry-exporter-otlp-proto-http"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a verb."""
    parser.add_argument("--request-log", metavar="FILE", help="write requests to FILE, a line of JSON each")
    parser.add_argument("--sample", type=_share, metavar="SHARE", help="share of the requests it gets (default: 1)")
    parser.add_argument("--log-inputs", action="store_true", help="write what was asked to it as well")
    parser.add_argument(
        "--otlp-endpoint", metavar="URL", help="send traces there (default: $OTEL_EXPORTER_OTLP_ENDPOINT)"
    )


def watching(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What of `serving.watch.watching.Watching` differs from its defaults.

    Raises:
        InputError: an option without the one it belongs to, a folder that is not there, a URL that is none, or no
            exporter of traces.
    """
    found: dict[str, Any] = {}
    if args.request_log:
        file = Path(args.request_log).absolute()
        if not file.parent.is_dir() or file.is_dir():
            raise InputError(
                f"--request-log {args.request_log} is not a file in a folder that exists", "make its folder"
            )
        found |= {"request_log": str(file), "sample": 1.0 if args.sample is None else args.sample}
        found |= {"log_inputs": True} if args.log_inputs else {}
    elif args.log_inputs or args.sample is not None:
        raise InputError("--sample and --log-inputs are about the request log", "say where: --request-log FILE")
    url = _traces(args.otlp_endpoint, environ)
    return found | ({"otlp": url} if url else {})


def _traces(given: str | None, environ: Mapping[str, str]) -> str | None:
    """The whole URL of a collector's traces, as OpenTelemetry's own variables give it."""
    if given is None and environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    base = given or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    whole = None if given else environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    url = whole or (base and f"{base.rstrip('/')}/v1/traces")
    if not url:
        return None
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise InputError(f"traces cannot be sent to {url!r}", "give a URL such as http://127.0.0.1:4318")
    if not _is_installed(EXPORTER):
        raise InputError("traces need OpenTelemetry's exporter, which is not installed", INSTALL)
    return url


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # not even what it is a part of
        return False


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError("must be over 0 and at most 1")
    return value
