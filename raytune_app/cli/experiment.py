"""Runs one experiment for a person at a terminal: the live table, the winner, its test scores, its model version."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytune_app.cli.live import LiveTable
from raytune_app.cli.output import result, say
from raytune_app.cli.summary import champion_text, winner_text
from raytune_app.report import write_report
from raytune_app.spec import Experiment
from raytune_app.storage import Storage
from raytune_app.tuning import study
from raytune_app.tuning.crown import Champion, crown
from raytune_app.tuning.events import StudyState
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.publish import publish
from raytune_app.tuning.tensorboard import TensorBoard


@dataclass(frozen=True)
class Finished:
    """A study that ended with a winner; `version` is None if it is not to be registered."""

    outcome: study.Outcome
    champion: Champion
    version: int | None


def run_experiment(args: argparse.Namespace, experiment: Experiment, storage: Storage) -> int:
    """The verb `run`, given a connected Ray. Returns the exit code: 1 for a study that was interrupted."""
    prepared, outcome = run_trials(experiment, storage, code_path=Path(args.spec).parent)
    finished = finish(prepared, outcome)
    folder = outcome.folder
    content: dict[str, Any] = {"study": folder.study, "state": outcome.state, "folder": folder.location}
    if finished is None:
        said = f"study {folder.study} was interrupted; its folder opens: {folder.location}"
        result(args, said, content, [f"raytune show {folder.study}"])
        return 1
    content["winner"] = folder.winner()
    result(args, f"study {folder.study}: {folder.location}", content, next_commands(finished, experiment))
    return 0


def run_trials(experiment: Experiment, storage: Storage, code_path: Path) -> tuple[study.Prepared, study.Outcome]:
    """Prepare and tune, with the live table, TensorBoard and the report.

    Args:
        code_path: a folder from which a user's own network may be imported, beside the current one.
    """
    prepared = study.prepare(experiment, storage, (str(code_path.absolute()), str(Path.cwd())))
    folder, resources = prepared.folder, prepared.resources
    say(f"study {folder.study}: {resources.slots} trials at once, each {resources.cpus} CPU and {resources.gpus:g} GPU")
    with LiveTable(experiment) as table, TensorBoard(folder) as board:
        outcome = study.tune(prepared, [table, board])
    write_report(folder)
    return prepared, outcome


def finish(prepared: study.Prepared, outcome: study.Outcome) -> Finished | None:
    """Score the winner on the sealed test part, register it, report; None if the study was interrupted."""
    experiment, folder, winner = prepared.experiment, outcome.folder, outcome.winner
    if winner is None or outcome.state is StudyState.STOPPED:
        return None
    say(winner_text(outcome, experiment))
    champion = crown(folder, experiment, winner, prepared.data)
    say(champion_text(champion.test))
    version = _register(folder, champion, prepared)
    write_report(folder)
    return Finished(outcome, champion, version)


def _register(folder: StudyFolder, champion: Champion, prepared: study.Prepared) -> int | None:
    target, model, version = prepared.experiment.register_as, None, None
    if target:
        version = publish(folder, champion, prepared.data, target)
        model = {"name": target.model, "version": version, "alias": target.alias}
        say(f"registered as {target.model} version {version}" + (f", now {target.alias}" if target.alias else ""))
    study.write_winner(folder, prepared.experiment, champion.winner, champion.test, model)
    return version


def next_commands(finished: Finished, experiment: Experiment) -> list[str]:
    """What a person would type next."""
    folder = finished.outcome.folder
    commands = [f"raytune show {folder.study}", f"open {folder.storage.location(folder.paths.report)}"]
    if folder.storage.is_local:
        commands.append(f"{_beside_python('tensorboard')} --logdir {folder.storage.location(folder.paths.tensorboard)}")
    if experiment.register_as:
        commands.append(f"raytune serve {experiment.register_as.model}")
    return commands


def _beside_python(program: str) -> Path:
    """The program of this environment, whether or not the environment is activated."""
    return Path(sys.executable).parent / program
