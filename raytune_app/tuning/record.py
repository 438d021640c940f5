"""`winner.json`: what won, by which scores, against what, and what became of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from raytune_app.spec import Experiment, resolve
from raytune_app.tuning.confirm import baseline, chosen_of, confirmed
from raytune_app.tuning.events import finite
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.view import StudyView
from raytune_app.tuning.winner import Winner, pareto_set


def write_winner(
    folder: StudyFolder,
    experiment: Experiment,
    view: StudyView,
    winner: Winner,
    test: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
) -> None:
    """Write the file; what it says already of the same checkpoint's test scores and version stays.

    Args:
        winner: whose checkpoint is crowned: after confirming or refitting, not the search's own trial.
        test: its scores on the sealed test part, once there are some.
        model: the name and the version it was registered as.
    """
    before = folder.winner() or {}
    if before.get("checkpoint") == winner.checkpoint:
        test, model = test or before["test"], model or before["model"]
    chosen = chosen_of(view, experiment)
    default = baseline(view, experiment)
    content = {
        **asdict(winner),
        "role": view.trials[winner.trial].role.value,
        "metric": str(experiment.objective.metric),
        "mode": str(experiment.objective.mode),
        "search_trial": chosen.trial if chosen else winner.trial,
        "search_score": chosen.score if chosen else winner.score,
        "confirmed": [{**asdict(one), "mean": one.mean, "se": one.se} for one in confirmed(view, experiment)],
        "baseline": asdict(default) if default else None,
        "pareto": [asdict(one) for one in pareto_set(view, experiment)] if len(experiment.objectives) > 1 else [],
        "experiment": resolve(experiment, winner.config).to_dict(),
        "test": test,
        "model": model,
    }
    folder.storage.write_json(folder.paths.winner, finite(content))
