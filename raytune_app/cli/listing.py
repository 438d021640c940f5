"""The verbs studies and show: what there is, and what one study came to."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from raytune_app.cli.output import result
from raytune_app.cli.place import STUDY_HELP, open_storage

if TYPE_CHECKING:
    from raytune_app.display.columns import Columns
    from raytune_app.tuning.overview import Overview


def add(subparsers: Any) -> None:
    """Add the verbs of this group."""
    studies = subparsers.add_parser("studies", help="list the studies of a storage, the newest first")
    told = "also the studies of this cluster that are in other storages or have not begun: http://HOST:8265"
    studies.add_argument("--address", metavar="URL", help=told)
    studies.add_argument("--insecure", action="store_true", help="take a cluster that asks nobody for a token")
    studies.set_defaults(run=_studies)
    show = subparsers.add_parser("show", help="one study: its trials, its rungs, its winner, its test scores")
    show.add_argument("study", help=STUDY_HELP)
    show.add_argument(
        "--trial", type=int, metavar="N", help="this trial: its curve, stints, checkpoints, output, error"
    )
    show.set_defaults(run=_show)


def _studies(args: argparse.Namespace) -> int:
    from raytune_app.display.drawn import drawn
    from raytune_app.tuning.overview import overviews

    storage = open_storage(args)
    found = overviews(storage)
    text = drawn(table_of(found), styled=sys.stdout.isatty()) if found else f"no studies in {storage.uri}"
    content: dict[str, Any] = {"studies": [one.to_dict() for one in found]}
    if args.address:
        content["elsewhere"] = _elsewhere(args, {one.study for one in found})
        text += "\n" + _elsewhere_text(content["elsewhere"])
    result(args, text, content, _next(found))
    return 0


def _elsewhere(args: argparse.Namespace, known: set[str]) -> list[dict[str, str]]:
    """The cluster's jobs of studies that are not in this storage: in another one, or not begun yet."""
    from raytune_app.jobs.client import connect_jobs, jobs_address
    from raytune_app.jobs.submit import study_jobs

    client = connect_jobs(jobs_address(args.address), insecure=args.insecure)
    return [
        {**job.metadata, "job": job.submission_id, "state": str(job.status.value).lower()}
        for job in study_jobs(client)
        if job.metadata["study"] not in known
    ]


def _elsewhere_text(jobs: list[dict[str, str]]) -> str:
    from raytune_app.display.columns import Columns
    from raytune_app.display.drawn import drawn
    from raytune_app.display.text import one_line

    if not jobs:
        return "the cluster has no studies of other storages"
    words = ("study", "job", "user", "priority", "storage")
    table = Columns(words, words)
    for job in jobs:
        table.add([one_line(job[key]) for key in ("study", "state", "user", "priority", "storage")])
    return "on the cluster, in other storages or not begun:\n" + drawn(table)


def table_of(found: list[Overview]) -> Columns:
    """A row a study."""
    from raytune_app.display.columns import Columns
    from raytune_app.display.text import ABSENT, duration, number, one_line

    words = ("study", "state", "best so far")
    table = Columns((*words, "done", "running", "failed", "device-hours", "age"), words)
    for one in found:
        best = ABSENT if one.score is None else f"{one.metric} {number(one.score)} (trial {one.trial})"
        age, hours = one.age_s(), one.device_hours
        cells = (one.study, state_text(one), best, str(one.done), str(one.running), str(one.failed))
        more = (ABSENT if hours is None else f"{hours:.3g}", ABSENT if age is None else duration(age))
        table.add([one_line(cell) for cell in (*cells, *more)])
    return table


def state_text(one: Overview) -> str:
    """The state, and what a person asks about it next."""
    from raytune_app.display.watching import before_text
    from raytune_app.tuning.overview import CORRUPT, LOST

    if one.state == "queued":
        ahead = (one.job or {}).get("ahead")
        return "in preparation" if ahead is None else f"queued, {before_text(ahead)}"
    if one.state == LOST:
        return "stale: driver lost"
    return f"corrupt: {one.reason}" if one.state == CORRUPT else one.state


def _next(found: list[Overview]) -> list[str]:
    """For the newest that asks for something: watch what runs, resume what is lost, look at the rest."""
    from raytune_app.tuning.overview import LOST

    if not found:
        return ["raytune run experiments/demo.yaml"]
    lost = [f"raytune resume {one.study}" for one in found if one.state == LOST][:1]
    running = [f"raytune watch {one.study}" for one in found if one.state in ("running", "queued")][:1]
    return [*lost, *running, f"raytune show {found[0].study}"]


def _show(args: argparse.Namespace) -> int:
    from raytune_app.cli.show import show_study, show_trial
    from raytune_app.tuning.folder import open_study

    folder = open_study(open_storage(args), args.study)
    return show_study(args, folder) if args.trial is None else show_trial(args, folder, args.trial)
