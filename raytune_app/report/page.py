"""Writes `report.html` of a study from the files in its folder alone, so that it works on a dead or moved study."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from raytune_app.report.figures import COLOURS, WINNER_COLOUR, learning_curves
from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.training.metrics import SCORE_TITLES
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.view import StudyView, TrialView

ERROR_HEAT = 0.05
"""A share of a label's examples that all get the same wrong answer: from here on the cell has its full colour."""


def write_report(folder: StudyFolder) -> str:
    """Write the page and return its path in the storage.

    Raises:
        NotFoundError: the study has no event log yet.
        StorageError: the page cannot be written.
    """
    folder.storage.write(folder.paths.report, _render(folder))
    return folder.paths.report


def _render(folder: StudyFolder) -> str:
    experiment, view, winner, record = folder.experiment(), folder.view(), folder.winner(), folder.record()
    test = winner["test"] if winner else None
    environment = Environment(
        loader=PackageLoader("raytune_app.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    curves = learning_curves(view, experiment.objective, winner["trial"] if winner else None)
    return environment.get_template("page.html").render(
        study=view.study or folder.study,
        state=view.state,
        reason=view.reason,
        record=record,
        started=datetime.fromisoformat(record["created"]),
        experiment=experiment,
        spec=experiment.to_yaml(),
        columns=list(experiment.domains()),
        trials=[_row(trial, experiment.objective, winner) for trial in _ranked(view, experiment.objective)],
        errors={trial.number: trial.error for trial in view.trials.values() if trial.error},
        winner=winner,
        checkpoints_mb=sum(saved.mb for trial in view.trials.values() for saved in trial.checkpoints.values()),
        test=test,
        scores=[(title, key) for key, title in SCORE_TITLES.items() if test and key in test],
        matrix=_matrix(test["confusion"]) if test else [],
        colours=_legend(view, experiment.objective, winner),
        curves=Markup(curves.to_json().replace("<", "\\u003c")),  # noqa: S704  # JSON that cannot end its script
        plotly=Markup(get_plotlyjs()),  # noqa: S704  # the library itself
    )


def _ranked(view: StudyView, objective: ObjectiveSpec) -> list[TrialView]:
    def key(trial: TrialView) -> tuple[float, int]:
        best = trial.best(objective.metric, objective.sign)
        return (-objective.sign * best[objective.metric] if best else float("inf")), trial.number

    return sorted(view.trials.values(), key=key)


def _row(trial: TrialView, objective: ObjectiveSpec, winner: dict[str, Any] | None) -> dict[str, Any]:
    best = trial.best(objective.metric, objective.sign)
    return {
        "number": trial.number,
        "state": trial.state.value,
        "epochs": len(trial.epochs),
        "best": best[objective.metric] if best else None,
        "best_epoch": best["epoch"] if best else None,
        "config": trial.config,
        "wins": winner is not None and winner["trial"] == trial.number,
    }


def _legend(view: StudyView, objective: ObjectiveSpec, winner: dict[str, Any] | None) -> dict[str, str]:
    """The colours that the curves have, by what they mean."""
    drawn = {
        trial.state.value
        for trial in view.trials.values()
        if trial.best(objective.metric, objective.sign) and not (winner and winner["trial"] == trial.number)
    }
    return ({"winner": WINNER_COLOUR} if winner else {}) | {
        state: COLOURS[state] for state in COLOURS if state in drawn
    }


def _matrix(confusion: list[list[int]]) -> list[list[dict[str, Any]]]:
    """Each count with its heat, 0 to 1: its share of the row, for wrong answers magnified by ERROR_HEAT."""
    return [
        [
            {"count": count, "right": truth == answer, "heat": _heat(count / max(sum(row), 1), right=truth == answer)}
            for answer, count in enumerate(row)
        ]
        for truth, row in enumerate(confusion)
    ]


def _heat(share: float, *, right: bool) -> float:
    return round(share if right else min(share / ERROR_HEAT, 1), 3)
