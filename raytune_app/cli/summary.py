"""The winner and its scores in words and tables."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

from raytune_app.cli.live import study_table
from raytune_app.cli.output import result
from raytune_app.spec import Experiment
from raytune_app.training.metrics import SCORE_TITLES
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.study import Outcome


def winner_text(outcome: Outcome, experiment: Experiment) -> str:
    """Which trial won, by which score, with which values."""
    winner = outcome.winner
    assert winner is not None
    objective = experiment.objective
    lines = [f"winner: trial {winner.trial}, epoch {winner.epoch}, validation {objective.metric} {winner.score:.4f}"]
    lines += [f"  {path}: {value}" for path, value in winner.config.items()]
    if outcome.reason:
        lines.append(f"  the study ended by {outcome.reason}")
    return "\n".join(lines)


def champion_text(test: dict[str, Any]) -> str:
    """The scores on the sealed test part, with 95 % intervals and the per-class table."""
    lines = [f"sealed test part, n = {test['n']:,}:"]
    lines += [
        f"  {title:<16}{test[key]:.4f}  (95 % interval {test[key + '_low']:.4f} to {test[key + '_high']:.4f})"
        for key, title in SCORE_TITLES.items()
    ]
    return "\n".join(lines) + "\n" + _drawn(_per_class(test))


def show_study(args: argparse.Namespace, folder: StudyFolder) -> int:
    """The verb `show`."""
    winner, table = folder.winner(), study_table(folder.view(), folder.experiment().objective)
    text = f"{folder.study}: {folder.record()['state']}\n{_drawn(table)}"
    if winner and winner["test"]:
        text += "\n" + champion_text(winner["test"])
    then = [f"raytune report {folder.study}"]
    if winner and winner["model"]:
        then.append(f"raytune serve {winner['model']['name']}@{winner['model']['version']}")
    result(args, text, {"study": folder.record(), "winner": winner}, then)
    return 0


def _per_class(test: dict[str, Any]) -> Table:
    table = Table()
    for name in ("label", "precision", "recall", "F1", "support"):
        table.add_column(name, justify="right")
    for row in test["per_class"]:
        table.add_row(
            row["label"], *(f"{row[key]:.4f}" for key in ("precision", "recall", "f1")), f"{row['support']:,}"
        )
    return table


def _drawn(table: Table) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip()
