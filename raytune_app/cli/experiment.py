"""Runs one experiment for a person at a terminal: the live table, the winner, its test scores, its model version."""

from __future__ import annotations

import argparse
import os
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
    outcome, finished = run_study(experiment, storage, code_path=Path(args.spec).parent)
    folder = outcome.folder
    if finished is None:
        said = f"study {folder.study} was interrupted; its folder opens: {folder.location}"
        result(args, said, {"study": folder.study, "state": outcome.state, "folder": folder.location}, [f"raytune show {folder.study}"])
        return 1
    content = {"study": folder.study, "state": outcome.state, "folder": folder.location, "winner": folder.storage.read_json(folder.paths.winner)}
    result(args, f"study {folder.study}: {folder.location}", content, next_commands(finished, experiment))
    return 0


def run_study(experiment: Experiment, storage: Storage, code_path: Path) -> tuple[study.Outcome, Finished | None]:
    """Prepare, tune, score, register, report; the second part is None if Ctrl-C ended the study early."""
    prepared = study.prepare(experiment, storage)
    folder, resources = prepared.folder, prepared.resources
    say(f"study {folder.study}: {resources.slots} trials at once, each {resources.cpus} CPU and {resources.gpus:g} GPU")
    code_paths = (str(code_path.absolute()), os.getcwd())
    with LiveTable(experiment.objective) as table, TensorBoard(folder) as board:
        outcome = study.tune(prepared, [table, board], code_paths)
    if outcome.winner is None or outcome.state == "stopped":
        write_report(storage, folder.study)
        return outcome, None
    return outcome, _finish(prepared, outcome)


def _finish(prepared: study.Prepared, outcome: study.Outcome) -> Finished:
    experiment, folder, winner = prepared.experiment, outcome.folder, outcome.winner
    assert winner is not None
    say(winner_text(outcome, experiment))
    champion = crown(folder, experiment, winner, prepared.data)
    say(champion_text(champion.test))
    model: dict[str, Any] | None = None
    if experiment.register_as:
        version = publish(folder, champion, prepared.data, experiment.register_as)
        model = {"name": experiment.register_as.model, "version": version, "alias": experiment.register_as.alias}
        alias = f" and is now {model['alias']}" if model["alias"] else ""
        say(f"registered as {model['name']} version {version}{alias}")
    study.write_winner(folder, experiment, winner, champion.test, model)
    write_report(folder.storage, folder.study)
    return Finished(outcome, champion, model["version"] if model else None)


def next_commands(finished: Finished, experiment: Experiment) -> list[str]:
    """What a person would type next."""
    folder = finished.outcome.folder
    commands = [f"raytune show {folder.study}", f"open {folder.storage.location(folder.paths.report)}"]
    if folder.storage.is_local:
        commands.append(f"{Path(sys.executable).parent / 'tensorboard'} --logdir {folder.storage.location(folder.paths.tensorboard)}")
    if experiment.register_as:
        commands.append(f"raytune serve {experiment.register_as.model}")
    return commands
