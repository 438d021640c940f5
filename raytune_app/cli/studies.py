"""Verbs that make and change studies: check, run, resume, extend, report."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

from raytune_app.cli.jobs import add_submission, send
from raytune_app.cli.output import result, say
from raytune_app.cli.place import STUDY_HELP, open_storage

if TYPE_CHECKING:
    from raytune_app.spec import Experiment
    from raytune_app.storage import Storage
    from raytune_app.tuning.folder import StudyFolder

HEAVY = "raytune_app.cli.experiment"
"""Imports torch and Ray Tune."""
EDIT_HELP = "change a setting: budget, trials, resources, confirm, keep, failures or register; may be repeated"


def add(subparsers: Any) -> None:
    """Add the verbs of this group."""
    check = subparsers.add_parser("check", help="validate an experiment file and print it resolved")
    _add_spec(check)
    check.set_defaults(run=_check)
    run = subparsers.add_parser("run", help="run an experiment here: on RAY_ADDRESS or an embedded local Ray")
    _add_spec(run)
    _add_address(run)
    _add_verbose(run)
    run.add_argument(
        "--replay", metavar="STUDY", help="train the winner's schedule of another study afresh, with SPEC's rest"
    )
    run.set_defaults(run=_run)
    resume = subparsers.add_parser("resume", help="go on with a study that was interrupted, killed or paused")
    resume.add_argument("study", help=STUDY_HELP)
    resume.add_argument("--set", metavar="a.b=c", action="append", default=[], dest="overrides", help=EDIT_HELP)
    _add_code(resume)
    add_submission(resume)
    resume.set_defaults(run=_resume)
    extend = subparsers.add_parser("extend", help="go on with a finished study: more trials, same memory")
    extend.add_argument("study", help=STUDY_HELP)
    extend.add_argument("--trials", type=int, required=True, help="how many more")
    extend.add_argument("--set", metavar="a.b=c", action="append", default=[], dest="overrides", help=EDIT_HELP)
    _add_code(extend)
    add_submission(extend)
    extend.set_defaults(run=_extend)
    report = subparsers.add_parser("report", help="write a study's report.html again")
    report.add_argument("study", help=STUDY_HELP)
    report.set_defaults(run=_report)


def _add_spec(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("spec", metavar="SPEC", help="an experiment file (YAML)")
    told = "override one value of the file; may be repeated"
    verb.add_argument("--set", metavar="a.b=c", action="append", default=[], dest="overrides", help=told)


def _add_address(verb: argparse.ArgumentParser) -> None:
    told = "address of a running Ray (default: $RAY_ADDRESS, else an embedded local one)"
    verb.add_argument("--address", help=told)


def _add_verbose(verb: argparse.ArgumentParser) -> None:
    told = "tell every epoch in a line, not only each trial that ended"
    verb.add_argument("-v", "--verbose", action="store_true", help=told)


def _add_code(verb: argparse.ArgumentParser) -> None:
    _add_address(verb)
    _add_verbose(verb)
    verb.add_argument("--code", metavar="FOLDER", default=".", help="where your own modules are (default: here)")


def _check(args: argparse.Namespace) -> int:
    from raytune_app.spec import load

    experiment = load(args.spec, args.overrides)
    if experiment.trial is not None:
        from pathlib import Path

        from raytune_app.training.user_code import check_user_training

        beside = [str(Path(args.spec).parent.absolute()), str(Path.cwd())]
        check_user_training(experiment.trial, beside, needs_seed=experiment.confirm is not None)
    result(args, experiment.to_yaml().rstrip(), experiment.to_dict(), [f"raytune run {args.spec}"])
    return 0


def _run(args: argparse.Namespace) -> int:
    from raytune_app.errors import InputError
    from raytune_app.jobs.client import is_jobs_address
    from raytune_app.spec import load

    if is_jobs_address(args.address):
        raise InputError(f"{args.address} takes jobs", f"raytune submit {args.spec} --address {args.address}")
    experiment = load(args.spec, args.overrides)  # before anything heavy is imported
    storage = open_storage(args)
    replay = None
    if args.replay:
        experiment, replay = _replayed(experiment, storage, args.replay)
    from raytune_app.cluster import connect

    with connect(args.address, meanwhile=HEAVY, about={"experiment": experiment.name}) as cluster:
        from raytune_app.cli.experiment import run_experiment

        say(f"Ray dashboard: {cluster.login}")
        return run_experiment(args, experiment, storage, replay)


def _replayed(experiment: Experiment, storage: Storage, study: str) -> tuple[Experiment, dict[str, Any]]:
    from raytune_app.tuning.folder import open_study
    from raytune_app.tuning.replay import replayed

    return replayed(experiment, open_study(storage, study))


def _resume(args: argparse.Namespace) -> int:
    return _go_on(args, more=0)


def _extend(args: argparse.Namespace) -> int:
    from raytune_app.errors import InputError

    if args.trials < 1:
        raise InputError("--trials must be at least 1", "say how many more trials to run")
    return _go_on(args, more=args.trials)


def _go_on(args: argparse.Namespace, more: int) -> int:
    from raytune_app.jobs.client import is_jobs_address
    from raytune_app.jobs.order import VARIABLE
    from raytune_app.spec.reading import merge, parse, parse_overrides
    from raytune_app.tuning.edit import check_edit
    from raytune_app.tuning.folder import open_study
    from raytune_app.tuning.mailbox import take

    folder = open_study(open_storage(args), args.study)
    edits = parse_overrides(args.overrides)
    if more:
        edits |= _more_trials(folder, edits, more)
    address = args.address or (os.environ.get("RAY_API_SERVER_ADDRESS") if folder.record()["job"] else None)
    if is_jobs_address(address) and VARIABLE not in os.environ:
        check_edit(before := folder.experiment(), parse(merge(before.to_dict(), edits)))
        args.address = address
        changes = [f"{path}={json.dumps(value)}" for path, value in edits.items()]
        return send(args, study=folder.study, edits=changes)
    if VARIABLE not in os.environ:  # a job has cleared it before its driver began
        take(folder)
    from raytune_app.cluster import connect

    with connect(args.address, meanwhile=HEAVY, about={"study": folder.study}) as cluster:
        from raytune_app.cli.experiment import resume_study

        say(f"Ray dashboard: {cluster.login}")
        return resume_study(args, folder, edits)


def _more_trials(folder: StudyFolder, edits: dict[str, Any], more: int) -> dict[str, Any]:
    """The edit that `extend` makes. Raises InputError if it would change nothing."""
    from raytune_app.errors import InputError
    from raytune_app.tuning.space import trial_count

    if "trials" in edits:
        raise InputError("--trials and --set trials=... say the same", "use one of the two")
    reason = str(folder.record()["reason"] or "")
    if reason.startswith(("budget", "target", "plateau")) and not any(path.startswith("budget") for path in edits):
        raise InputError(f"the search had ended by {reason}", "raise that too, for example --set budget.epochs=500")
    return {"trials": trial_count(folder.experiment()) + more}


def _report(args: argparse.Namespace) -> int:
    from raytune_app.board.frozen import write_report
    from raytune_app.tuning.folder import open_study

    folder = open_study(open_storage(args), args.study)
    location = folder.storage.location(write_report(folder))
    result(args, location, {"study": folder.study, "report": location}, [f"raytune show {folder.study}"])
    return 0
