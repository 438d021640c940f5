"""Writes `report.html` of a study from its event log, its experiment and winner.json; works on a dead or moved study."""

from __future__ import annotations

from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from raytune_app.report.figures import confusion_table, learning_curves
from raytune_app.spec import parse
from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.events import StudyView, TrialView, read_events

SCORES = (
    ("accuracy", "accuracy"),
    ("macro precision", "macro_precision"),
    ("macro recall", "macro_recall"),
    ("macro F1", "macro_f1"),
)


def write_report(storage: Storage, study: str) -> str:
    """Write the page and return its path in the storage.

    Raises:
        NotFoundError: there is no such study, or it has no event log yet.
        StorageError: the page cannot be written.
    """
    paths = StudyPaths(study)
    storage.write(paths.report, _render(storage, paths))
    return paths.report


def _render(storage: Storage, paths: StudyPaths) -> str:
    experiment = parse(yaml.safe_load(storage.read_text(paths.spec)))
    view = StudyView.of(read_events(storage, paths))
    winner = storage.read_json(paths.winner) if storage.exists(paths.winner) else None
    test = winner["test"] if winner else None
    environment = Environment(
        loader=PackageLoader("raytune_app.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    figures = {"curves": learning_curves(view, experiment.objective, winner["trial"] if winner else None)}
    if test:
        figures["confusion"] = confusion_table(test["confusion"], test["labels"])
    return environment.get_template("page.html").render(
        study=view.study or paths.study,
        state=view.state,
        reason=view.reason,
        record=storage.read_json(paths.state),
        experiment=experiment,
        spec=experiment.to_yaml(),
        columns=list(experiment.domains()),
        trials=[_row(trial, experiment.objective, winner) for trial in _ranked(view, experiment.objective)],
        failed=any(trial.error for trial in view.trials.values()),
        winner=winner,
        test=test,
        scores=SCORES,
        figures={name: Markup(figure.to_json().replace("</", "<\\/")) for name, figure in figures.items()},  # noqa: S704  # JSON in a script element that cannot end it
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
        "error": trial.error,
        "epochs": len(trial.epochs),
        "best": best[objective.metric] if best else None,
        "best_epoch": best["epoch"] if best else None,
        "config": trial.config,
        "wins": winner is not None and winner["trial"] == trial.number,
    }
