"""Where a verb's studies and models are: `--storage`, else the default storage."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raytune_app.registry import Registry
    from raytune_app.storage import Storage


def open_storage(args: argparse.Namespace) -> Storage:
    """The storage that the verb works on."""
    from raytune_app.storage import Storage, default_uri

    return Storage(args.storage or default_uri())


def open_registry(args: argparse.Namespace) -> Registry:
    """The registry in that storage."""
    from raytune_app.registry import Registry

    return Registry(open_storage(args))
