"""A study as pandas DataFrames: one row a trial, and one row an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from raytune_app.spec.grammar import Experiment
from raytune_app.tuning.view import StudyView, TrialView

_LEFT_OUT = ("event", "trial", "epoch")
_TEXTS = ("state", "role", "error", "decision", "host")
_WHOLE = ("of", "epochs", "best_epoch", "parameters", "rung", "pid")


def trials_frame(view: StudyView, experiment: Experiment) -> pd.DataFrame:
    """All trials, also those that confirm, compare or refit; the index, `trial`, is the number.

    Columns: `state`, `role`, `of` (whose configuration it trains again), `epochs` (trained), `best_epoch`, `values.*`
    (each objective's metric at that epoch), `parameters`, `error`, then `config.*`: the values it was trained with,
    the last ones where they changed. The best epoch is the one that is best in the first objective, among those that
    have all; a trial without one has a missing value there.

    Whole numbers are `Int64`, booleans `boolean`, texts `string`, real numbers `float64`; settings of mixed types stay
    Python's own.
    """
    trials = [trial for _, trial in sorted(view.trials.items())]
    rows = [_row(trial, experiment) for trial in trials]
    names = ["state", "role", "of", "epochs", "best_epoch", *_values(experiment), "parameters", "error"]
    columns = {name: _column(name, [row[name] for row in rows]) for name in names}
    for path in dict.fromkeys(path for trial in trials for path in trial.config):
        name = f"config.{path}"
        columns[name] = _column(name, [trial.config.get(path) for trial in trials])
    index = pd.Index([trial.number for trial in trials], name="trial", dtype="int64")
    return pd.DataFrame(columns).set_index(index)


def epochs_frame(view: StudyView) -> pd.DataFrame:
    """All epochs that count; the index is `trial` and `epoch`; columns: `time` (UTC) and what the epoch reported.

    An epoch that was trained again after an interruption is there once, as it was the last time. What some epochs did
    not report is missing there. Types as in `trials_frame`.
    """
    rows = [row for _, trial in sorted(view.trials.items()) for row in trial.epochs]
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in _LEFT_OUT]
    columns = {name: _column(name, [row.get(name) for row in rows]) for name in names if name != "time"}
    times = pd.to_datetime(pd.Series([row.get("time") for row in rows], dtype="string"), utc=True, format="ISO8601")
    index = pd.MultiIndex.from_arrays(
        [pd.Index([row[name] for row in rows], dtype="int64") for name in ("trial", "epoch")], names=["trial", "epoch"]
    )
    return pd.DataFrame({"time": times, **columns}).set_index(index)


def _row(trial: TrialView, experiment: Experiment) -> dict[str, Any]:
    metrics = [str(each.metric) for each in experiment.objectives]
    best = trial.best(metrics[0], experiment.objective.sign, *metrics[1:])
    return {
        "state": trial.state.value,
        "role": trial.role.value,
        "of": trial.of,
        "epochs": len(trial.epochs),
        "best_epoch": best["epoch"] if best else None,
        **{f"values.{metric}": float(best[metric]) if best else None for metric in metrics},
        "parameters": trial.parameters,
        "error": trial.error,
    }


def _values(experiment: Experiment) -> list[str]:
    return [f"values.{each.metric}" for each in experiment.objectives]


def _column(name: str, values: Sequence[Any]) -> pd.Series:
    """The values with the type that they all have; of some columns the type is known even if they are empty."""
    types = {type(value) for value in values} - {type(None)}
    if types == {bool}:
        return pd.Series(values, dtype="boolean")
    if types == {int} or (not types and name in _WHOLE):
        return pd.Series(values, dtype="Int64")
    if types == {str} or (not types and name in _TEXTS):
        return pd.Series(values, dtype="string")
    if types <= {int, float}:
        return pd.Series([float("nan") if value is None else value for value in values], dtype="float64")
    return pd.Series(values, dtype="object")
