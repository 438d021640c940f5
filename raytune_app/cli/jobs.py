"""Verbs of studies on a cluster, and of any study that runs: submit, stop, pause."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytune_app.cli.output import result, say
from raytune_app.cli.place import STUDY_HELP, open_storage

if TYPE_CHECKING:
    from raytune_app.jobs.client import Jobs
    from raytune_app.jobs.submit import Submitted

ADDRESS_HELP = "the cluster's dashboard, for example http://127.0.0.1:8265 (default: $RAY_API_SERVER_ADDRESS)"
STOP_S = 90.0
"""How long `stop` waits for the study to end: its trials save what they were about to."""


def add(subparsers: Any) -> None:
    """Add the verbs of this group."""
    submit = subparsers.add_parser("submit", help="run an experiment on a Ray cluster, as a job of its own")
    submit.add_argument("spec", metavar="SPEC", help="an experiment file (YAML)")
    told = "override one value of the file; may be repeated"
    submit.add_argument("--set", metavar="a.b=c", action="append", default=[], dest="overrides", help=told)
    submit.add_argument("--address", metavar="URL", help=ADDRESS_HELP)
    add_submission(submit)
    submit.set_defaults(run=_submit)
    for verb, told in (("stop", "end a running study in good order"), ("pause", "the same, meant to go on later")):
        parser = subparsers.add_parser(verb, help=told)
        parser.add_argument("study", help=STUDY_HELP)
        if verb == "stop":
            parser.add_argument("--trial", type=int, metavar="N", help="end this trial only, with what it has")
        parser.set_defaults(run=_end, verb=verb)


def add_submission(verb: argparse.ArgumentParser) -> None:
    """What a verb needs to send a job."""
    told = "send this folder of your own modules too, and nothing else; may be repeated"
    verb.add_argument("--with", metavar="FOLDER", action="append", default=[], dest="folders", help=told)
    told = "higher ones leave the cluster's queue first (default 0)"
    verb.add_argument("--priority", type=int, default=0, help=told)
    told = "how often a driver that died is started again (default 2)"
    verb.add_argument("--retries", type=int, default=2, help=told)
    verb.add_argument("--follow", action="store_true", help="stay, and print what the study prints, until it ends")
    verb.add_argument("--insecure", action="store_true", help="take a cluster that asks nobody for a token")


def _submit(args: argparse.Namespace) -> int:
    from raytune_app.spec import load

    return send(args, experiment=load(args.spec, args.overrides))


def send(args: argparse.Namespace, **what: Any) -> int:
    """Submit what `jobs.submit.submit` takes, and say where it is. With `--follow`, stay until it ends."""
    from raytune_app.jobs.client import connect_jobs, jobs_address
    from raytune_app.jobs.submit import submit

    address = jobs_address(args.address)
    client = connect_jobs(address, insecure=args.insecure)
    folders = [Path(folder) for folder in args.folders]
    submitted = submit(client, args.storage, folders=folders, priority=args.priority, retries=args.retries, **what)
    say(_told(submitted, address))
    then = [f"raytune {verb} {submitted.study}" for verb in ("watch", "logs -f", "stop", "show")]
    content = {"study": submitted.study, "job": submitted.job, "dashboard": address, "storage": submitted.storage}
    result(args, submitted.study, content, [] if args.follow else then)
    return _follow(client, submitted, then) if args.follow else 0


def _told(submitted: Submitted, address: str) -> str:
    own = f", {len(submitted.bundle.own)} files of yours among them" if submitted.bundle.own else ""
    sent = f"sent raytune itself{own}: {submitted.bundle.mb:.1f} MB"
    return f"{sent}\njob {submitted.job}: {address}/#/jobs/{submitted.job}"


def _follow(client: Jobs, submitted: Submitted, then: list[str]) -> int:
    """Ctrl-C leaves the study alone."""
    from raytune_app.jobs.follow import follow

    try:
        ended_well = follow(client, submitted.job)
    except KeyboardInterrupt:
        say(f"the study goes on\nnext:\n  raytune stop {submitted.study}")
        return 0
    say("next:\n  " + "\n  ".join(then[-1:]))
    return 0 if ended_well else 1


def _end(args: argparse.Namespace) -> int:
    from raytune_app.jobs.stop import end_study, end_trial
    from raytune_app.tuning.folder import open_study

    folder = open_study(open_storage(args), args.study)
    trial = getattr(args, "trial", None)
    if trial is not None:
        told = end_trial(folder, trial)
        result(args, told, {"study": folder.study, "trial": trial}, [f"raytune show {folder.study} --trial {trial}"])
        return 0
    state, reason = end_study(folder, pause=args.verb == "pause", wait_s=STOP_S)
    text = f"study {folder.study}: {state}" + (f" ({reason})" if reason else "")
    content = {"study": folder.study, "state": state, "reason": reason}
    where = " --address URL" if folder.record()["job"] else ""
    result(args, text, content, [f"raytune resume {folder.study}{where}", f"raytune show {folder.study}"])
    return 0
