"""Where a verb's studies and models are: `--storage`, else the default storage."""

from __future__ import annotations

import argparse
import re
import time
from typing import TYPE_CHECKING

from raytune_app.cli.output import say

if TYPE_CHECKING:
    from raytune_app.registry import Registry
    from raytune_app.storage import Storage
    from raytune_app.tuning.folder import StudyFolder

STUDY_HELP = "id of a study, or the beginning of one for the newest that fits"
BEGIN_S = 60.0
"""For a study that was submitted to show up: its code is unpacked first."""
NAME_S = 15.0
"""The same where only the beginning of an id is named, which may be a slip too."""
LOOK_S = 0.3
_WHOLE_ID = re.compile(r".+-\d{8}-\d{6}-[0-9a-f]{4}")


def open_storage(args: argparse.Namespace) -> Storage:
    """The storage that the verb works on."""
    from raytune_app.storage import Storage, default_uri

    return Storage(args.storage or default_uri())


def open_registry(args: argparse.Namespace) -> Registry:
    """The registry in that storage."""
    from raytune_app.registry import Registry

    return Registry(open_storage(args))


def open_soon(args: argparse.Namespace) -> StudyFolder:
    """The study that is asked for; it may just have been submitted, and is waited for.

    Raises NotFoundError.
    """
    from raytune_app.errors import NotFoundError
    from raytune_app.tuning.folder import open_study

    storage = open_storage(args)
    until_s = time.monotonic() + (BEGIN_S if _WHOLE_ID.fullmatch(args.study) else NAME_S)
    is_told = False
    while True:
        try:
            return open_study(storage, args.study)
        except NotFoundError:
            if time.monotonic() > until_s:
                raise
        if not is_told:
            say(f"waiting for {args.study} to begin")
            is_told = True
        time.sleep(LOOK_S)
