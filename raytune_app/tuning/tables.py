"""`trials.parquet`: one row a trial, for pandas, DuckDB or a spreadsheet."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raytune_app.spec.grammar import ObjectiveSpec
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.view import StudyView, TrialView


def write_trials(folder: StudyFolder, view: StudyView, objective: ObjectiveSpec) -> None:
    """Write the table, a row a trial.

    Columns: trial, state, epochs, best_epoch, the metric, parameters, trained_s, gpu_mb, error, then `config.*`.
    """
    mixed = _mixed(view)
    rows = [_row(trial, objective, mixed) for trial in view.trials.values()]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    folder.storage.write(folder.paths.trials, buffer.getvalue())


def _mixed(view: StudyView) -> set[str]:
    """Settings whose values differ in type, such as `choice: [auto, 64]`: a column of JSON texts."""
    types: dict[str, set[type]] = {}
    for trial in view.trials.values():
        for path, value in trial.config.items():
            types.setdefault(path, set()).add(type(value))
    return {path for path, found in types.items() if len(found - {type(None)}) > 1}


def _row(trial: TrialView, objective: ObjectiveSpec, mixed: set[str]) -> dict[str, Any]:
    best = trial.best(objective.metric, objective.sign)
    return {
        "trial": trial.number,
        "state": trial.state.value,
        "epochs": len(trial.epochs),
        "best_epoch": best["epoch"] if best else None,
        str(objective.metric): best[objective.metric] if best else None,
        "parameters": trial.parameters,
        "trained_s": trial.seconds,
        "gpu_mb": max((row.get("peak_gpu_mb") or 0.0 for row in trial.epochs), default=0.0) or None,
        "error": trial.error,
        **{f"config.{path}": value for path, value in trial.config.items() if path not in mixed},
        **{f"config.{path}": json.dumps(value) for path, value in trial.config.items() if path in mixed},
    }
