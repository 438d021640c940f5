"""A study as DataFrames."""

from __future__ import annotations

import pandas as pd

from raytune_app.tuning.frame import epochs_frame, trials_frame
from raytune_app.tuning.view import StudyView
from tests.board.studies import TWO, experiment, started, trial

SPEC = experiment(TWO, {"rate": {"uniform": [0, 1]}, "n": {"randint": [1, 9]}, "any": {"choice": [1, "one"]}})


def _view() -> StudyView:
    rows: list[dict[str, float | None]] = [
        {"score": 0.1, "cost": 3},
        {"score": 0.9, "cost": 2.0},
        {"score": 0.95, "cost": None},
    ]
    return StudyView.of(
        [
            *started(),
            *trial(0, {"params.rate": 0.5, "params.n": 2, "params.any": 1, "flag": True}, rows),
            *trial(2, {"params.rate": 1, "params.any": "one"}, [{"score": None, "cost": 1.0}], "diverged"),
            *trial(3, {"params.rate": 0.5, "params.n": 2}, [], None, role="confirm", of=0),
        ]
    )


def test_a_row_a_trial_by_its_number_with_the_best_epoch_that_has_all_objectives() -> None:
    frame = trials_frame(_view(), SPEC)
    assert frame.index.name == "trial" and list(frame.index) == [0, 2, 3]
    assert list(frame.loc[0, ["best_epoch", "values.score", "values.cost", "epochs"]]) == [2, 0.9, 2.0, 3]
    assert frame.loc[[2, 3], ["best_epoch", "values.score"]].isna().all(axis=None)
    assert list(frame["state"]) == ["finished", "diverged", "running"]
    assert list(frame["role"]) == ["search", "search", "confirm"] and frame.loc[3, "of"] == 0


def test_columns_have_the_type_of_their_values() -> None:
    types = {name: str(kind) for name, kind in trials_frame(_view(), SPEC).dtypes.items()}
    assert types == {
        "state": "string",
        "role": "string",
        "of": "Int64",
        "epochs": "Int64",
        "best_epoch": "Int64",
        "values.score": "float64",
        "values.cost": "float64",
        "parameters": "Int64",
        "error": "string",
        "config.params.rate": "float64",
        "config.params.n": "Int64",
        "config.params.any": "object",
        "config.flag": "boolean",
    }


def test_a_row_an_epoch_with_its_time() -> None:
    frame = epochs_frame(_view())
    assert list(frame.index.names) == ["trial", "epoch"] and list(frame.index) == [(0, 1), (0, 2), (0, 3), (2, 1)]
    assert frame.loc[(0, 2), "score"] == 0.9 and str(frame["pid"].dtype) == "Int64"
    assert isinstance(frame["time"].dtype, pd.DatetimeTZDtype) and "event" not in frame
    assert frame["time"].is_monotonic_increasing and str(frame["cost"].dtype) == "float64"


def test_an_empty_study_has_empty_frames_with_the_same_columns() -> None:
    trials, epochs = trials_frame(StudyView(), SPEC), epochs_frame(StudyView())
    assert len(trials) == len(epochs) == 0 and trials.index.name == "trial"
    whole = [name for name in trials_frame(_view(), SPEC) if not str(name).startswith("config.")]
    assert list(trials) == whole and str(trials["best_epoch"].dtype) == "Int64"
    assert list(epochs.index.names) == ["trial", "epoch"]
