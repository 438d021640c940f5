"""Runs one experiment for a person at a terminal: the live table, the winner, its test scores, its model version."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytune_app.board.frozen import write_report
from raytune_app.cli.live import LiveTable
from raytune_app.cli.output import result, say
from raytune_app.cli.summary import champion_text, winner_text
from raytune_app.spec import Experiment
from raytune_app.storage import Storage
from raytune_app.tuning import study
from raytune_app.tuning.confirm import baseline, defaults
from raytune_app.tuning.crown import Champion, crown
from raytune_app.tuning.ending import Outcome
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.keeper import total_mb
from raytune_app.tuning.metrics import StudyMetrics
from raytune_app.tuning.publish import publish
from raytune_app.tuning.record import write_winner
from raytune_app.tuning.tensorboard import TensorBoard
from raytune_app.tuning.view import StudyState


@dataclass(frozen=True)
class Finished:
    """A study that ended with a winner.

    Attributes:
        champion: None after a user's own training, whose network is not ours to score, and if it was scored before.
        version: None if it is not to be registered.
    """

    outcome: Outcome
    champion: Champion | None
    version: int | None


def run_experiment(
    args: argparse.Namespace, experiment: Experiment, storage: Storage, replay: Mapping[str, Any] | None = None
) -> int:
    """The verb `run`, given a connected Ray. Returns the exit code: 1 for a study that was interrupted."""
    return conclude(args, study.prepare(experiment, storage, code_paths(Path(args.spec).parent), replay))


def resume_study(args: argparse.Namespace, folder: StudyFolder, edits: Mapping[str, Any]) -> int:
    """The verbs `resume` and `extend`, given a connected Ray."""
    prepared = study.reopen(folder, code_paths(Path(args.code)), edits)
    for path, (before, after) in (prepared.changes or {}).items():
        say(f"changed: {path}: {before} -> {after}")
    return conclude(args, prepared)


def conclude(args: argparse.Namespace, prepared: study.Prepared) -> int:
    """Tune, score and register, and print what came of it."""
    outcome = run_trials(prepared, verbose=args.verbose)
    finished = finish(prepared, outcome)
    folder = outcome.folder
    folder.update(settled=True)
    content: dict[str, Any] = {"study": folder.study, "state": outcome.state, "folder": folder.location}
    if finished is None:
        said = f"study {folder.study} ended by {outcome.reason}; its folder opens: {folder.location}"
        result(args, said, content, [f"raytune resume {folder.study}", f"raytune show {folder.study}"])
        return 1
    content["winner"] = folder.winner()
    said = f"study {folder.study}: {folder.location} ({total_mb(outcome.view):.1f} MB of checkpoints)"
    result(args, said, content, next_commands(finished, prepared.experiment))
    return 0


def code_paths(beside: Path) -> tuple[str, str]:
    """From where a user's own modules may be imported: beside the experiment file, and from here."""
    return str(beside.absolute()), str(Path.cwd())


def run_trials(prepared: study.Prepared, *, verbose: bool = False) -> Outcome:
    """Tune, with the live table, TensorBoard and the report.

    Args:
        verbose: tell every event in a line, not only each trial that ended.
    """
    folder, resources, experiment, past = prepared.folder, prepared.resources, prepared.experiment, prepared.past
    workers = f"{resources.workers} workers of " if resources.workers > 1 else ""
    share = f"{workers}{resources.cpus} CPU and {resources.gpus:g} GPU"
    say(f"study {folder.study}: {resources.slots} trials at once, each {share}")
    confirm = prepared.experiment.confirm
    if confirm and confirm.baseline and defaults(prepared.experiment) is None:
        say(
            "confirm: the defaults are not trained beside the winner: not every searched setting has one that fits here"
        )
    with (
        LiveTable(folder, experiment, past, verbose=verbose) as table,
        TensorBoard(folder, experiment, past) as board,
        StudyMetrics(folder.study, experiment, past) as metrics,
    ):
        outcome = study.tune(prepared, [table, board, metrics])
    write_report(folder)
    return outcome


def finish(prepared: study.Prepared, outcome: Outcome) -> Finished | None:
    """Score the winner on the sealed test part, register it, report; None if the study may still go on."""
    experiment, folder, winner = prepared.experiment, outcome.folder, outcome.winner
    if winner is None or outcome.state is not StudyState.FINISHED:
        return None
    content = folder.winner()
    assert content is not None
    say(winner_text(content, outcome.reason))
    if content["test"] is not None:  # this very checkpoint was scored, and registered, before the study was resumed
        say(champion_text(content["test"]))
        return Finished(outcome, None, content["model"] and content["model"]["version"])
    if experiment.trial is not None:
        return Finished(outcome, None, None)
    champion = crown(folder, experiment, winner, prepared.data, baseline(outcome.view, experiment))
    say(champion_text(champion.test))
    version = _register(folder, champion, prepared, outcome)
    write_report(folder)
    return Finished(outcome, champion, version)


def _register(folder: StudyFolder, champion: Champion, prepared: study.Prepared, outcome: Outcome) -> int | None:
    target, model, version = prepared.experiment.register_as, None, None
    if target:
        version = publish(folder, champion, prepared.data, target)
        model = {"name": target.model, "version": version, "alias": target.alias}
        say(f"registered as {target.model} version {version}" + (f", now {target.alias}" if target.alias else ""))
    write_winner(folder, prepared.experiment, outcome.view, champion.winner, champion.test, model)
    return version


def next_commands(finished: Finished, experiment: Experiment) -> list[str]:
    """What a person would type next."""
    folder = finished.outcome.folder
    commands = [f"raytune show {folder.study}"]
    if folder.storage.is_local:
        commands.append(f"open {folder.storage.location(folder.paths.report)}")
        commands.append(f"{_beside_python('tensorboard')} --logdir {folder.storage.location(folder.paths.tensorboard)}")
    if finished.version is not None and experiment.register_as:
        commands.append(f"raytune serve {experiment.register_as.model}")
    return commands


def _beside_python(program: str) -> Path:
    """The program of this environment, whether or not the environment is activated."""
    return Path(sys.executable).parent / program
