"""Verbs of studies: check, run, studies, show, report."""

from __future__ import annotations

import argparse
from typing import Any

from raytune_app.cli.output import result, say
from raytune_app.cli.place import open_storage


def add(subparsers: Any) -> None:
    """Add the verbs of this group."""
    check = subparsers.add_parser("check", help="validate an experiment file and print it resolved")
    _add_spec(check)
    check.set_defaults(run=_check)
    run = subparsers.add_parser("run", help="run an experiment here: on RAY_ADDRESS or an embedded local Ray")
    _add_spec(run)
    run.add_argument("--address", help="address of a running Ray (default: $RAY_ADDRESS, else an embedded local one)")
    run.set_defaults(run=_run)
    studies = subparsers.add_parser("studies", help="list the studies of a storage")
    studies.set_defaults(run=_studies)
    show = subparsers.add_parser("show", help="one study: its trials, its winner, its test scores")
    show.add_argument("study", help="id of a study, or the beginning of one for the newest that fits")
    show.set_defaults(run=_show)
    report = subparsers.add_parser("report", help="write a study's report.html again")
    report.add_argument("study", help="id of a study, or the beginning of one for the newest that fits")
    report.set_defaults(run=_report)


def _add_spec(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("spec", metavar="SPEC", help="an experiment file (YAML)")
    told = "override one value of the file; may be repeated"
    verb.add_argument("--set", metavar="a.b=c", action="append", default=[], dest="overrides", help=told)


def _check(args: argparse.Namespace) -> int:
    from raytune_app.spec import load

    experiment = load(args.spec, args.overrides)
    result(args, experiment.to_yaml().rstrip(), experiment.to_dict(), [f"raytune run {args.spec}"])
    return 0


def _run(args: argparse.Namespace) -> int:
    from raytune_app.spec import load

    experiment = load(args.spec, args.overrides)  # before anything heavy is imported
    from raytune_app.cli.experiment import run_experiment
    from raytune_app.cluster import connect

    storage = open_storage(args)
    with connect(args.address) as cluster:
        say(f"Ray dashboard: {cluster.login}")
        return run_experiment(args, experiment, storage)


def _studies(args: argparse.Namespace) -> int:
    from raytune_app.storage import StudyPaths

    storage = open_storage(args)
    records = [
        storage.read_json(StudyPaths(name).state)
        for name in storage.folders("studies")
        if storage.exists(StudyPaths(name).state)
    ]
    records.sort(key=lambda record: record["created"], reverse=True)
    lines = [f"{record['study']:<40} {record['state']:<9} {record['created']}" for record in records]
    text = "\n".join(lines) or f"no studies in {storage.uri}"
    then = [f"raytune show {records[0]['study']}"] if records else ["raytune run experiments/demo.yaml"]
    result(args, text, {"studies": records}, then)
    return 0


def _show(args: argparse.Namespace) -> int:
    from raytune_app.cli.summary import show_study
    from raytune_app.tuning.folder import open_study

    return show_study(args, open_study(open_storage(args), args.study))


def _report(args: argparse.Namespace) -> int:
    from raytune_app.report import write_report
    from raytune_app.tuning.folder import open_study

    folder = open_study(open_storage(args), args.study)
    location = folder.storage.location(write_report(folder))
    result(args, location, {"study": folder.study, "report": location}, [f"raytune show {folder.study}"])
    return 0
