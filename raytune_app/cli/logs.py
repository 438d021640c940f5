"""The verb logs: a study's events as lines, those of the past and, with -f, those to come."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from raytune_app.cli.interrupt import INTERRUPTED
from raytune_app.cli.jobs import ADDRESS_HELP
from raytune_app.cli.output import result, say
from raytune_app.cli.place import STUDY_HELP, open_soon

if TYPE_CHECKING:
    from raytune_app.display.lines import Narrator
    from raytune_app.display.watching import Watching
    from raytune_app.tuning.view import Event


def add(subparsers: Any) -> None:
    """Add the verb."""
    logs = subparsers.add_parser("logs", help="what happened in a study, a line an event, and what its trials printed")
    logs.add_argument("study", help=STUDY_HELP)
    logs.add_argument(
        "-f", "--follow", action="store_true", help="go on until the study ends (with --json one object an event)"
    )
    logs.add_argument("--trial", type=int, metavar="N", help="of this trial alone")
    logs.add_argument("--driver", action="store_true", help="of a submitted study: its job's own log, from the cluster")
    logs.add_argument("--address", metavar="URL", help=ADDRESS_HELP)
    logs.add_argument("--insecure", action="store_true", help="take a cluster that asks nobody for a token")
    logs.set_defaults(run=_logs)


def _logs(args: argparse.Namespace) -> int:
    from raytune_app.display.lines import Narrator
    from raytune_app.display.watching import Watching

    if args.driver:
        return _tell_driver(args)
    watching = Watching(open_soon(args))
    narrator = Narrator(watching.experiment)
    try:
        events = watching.poll()
        if not args.follow:
            return _tell_all(args, watching, narrator, events)
        _follow(args, watching, narrator, events)
    except KeyboardInterrupt:
        return INTERRUPTED
    if watching.alarm:
        say(watching.alarm)
    return 0


def _tell_driver(args: argparse.Namespace) -> int:
    """From the cluster alone: the study may never have come to the storage. Raises NotFoundError, InputError."""
    from raytune_app.display.text import printable
    from raytune_app.jobs.client import answered, connect_jobs, jobs_address
    from raytune_app.jobs.follow import follow
    from raytune_app.jobs.submit import newest_job

    client = connect_jobs(jobs_address(args.address), insecure=args.insecure)
    job = newest_job(client, args.study)
    if args.follow:
        follow(client, job)
    else:
        with answered():
            text = client.get_job_logs(job)
        result(args, printable(text).rstrip(), {"job": job, "log": text})
    return 0


def _tell_all(args: argparse.Namespace, watching: Watching, narrator: Narrator, events: list[Event]) -> int:
    """The past alone. Raises StorageError, NotFoundError for a trial that there is not."""
    from raytune_app.errors import NotFoundError, StorageError

    if watching.trouble:
        raise StorageError(watching.trouble, "try again, or look into the storage")
    if args.trial is not None and args.trial not in watching.account.view.trials:
        known = len(watching.account.view.trials)
        raise NotFoundError(f"there is no trial {args.trial}", f"the study has {known} trials so far, from 0")
    chosen = [event for event in events if _is_wanted(args, event)]
    lines = [line for event in chosen for line in narrator.lines(event)]
    study = watching.folder.study
    then = [] if watching.is_over else [f"raytune logs {study} -f"]
    result(args, "\n".join(lines) or "nothing has happened yet", {"study": study, "events": chosen}, then)
    return 0


def _follow(args: argparse.Namespace, watching: Watching, narrator: Narrator, events: list[Event]) -> None:
    while True:
        for event in events:
            if _is_wanted(args, event):
                text = json.dumps(event, allow_nan=False) if args.json else "\n".join(narrator.lines(event))
                print(text, flush=True)
        if watching.is_over:
            return
        time.sleep(watching.every_s)
        events = watching.poll()


def _is_wanted(args: argparse.Namespace, event: Event) -> bool:
    return args.trial is None or event.get("trial") == args.trial
