"""`trials.parquet`: one row a trial, for pandas, DuckDB or a spreadsheet."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.tuning.events import StudyView, TrialView
from raytune_app.tuning.folder import StudyFolder


def write_trials(folder: StudyFolder, view: StudyView, objective: ObjectiveSpec) -> None:
    """Write the table; columns: trial, state, epochs, best_epoch, the metric, parameters, error, then `config.*`."""
    rows = [_row(trial, objective) for trial in view.trials.values()]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    folder.storage.write(folder.paths.trials, buffer.getvalue())


def _row(trial: TrialView, objective: ObjectiveSpec) -> dict[str, Any]:
    best = trial.best(objective.metric, objective.sign)
    return {
        "trial": trial.number,
        "state": trial.state.value,
        "epochs": len(trial.epochs),
        "best_epoch": best["epoch"] if best else None,
        objective.metric.value: best[objective.metric] if best else None,
        "parameters": trial.parameters,
        "error": trial.error,
        **{f"config.{path}": value for path, value in trial.config.items()},
    }
