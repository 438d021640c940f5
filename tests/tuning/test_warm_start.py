"""A searcher learns from another study what fits, and a study that fits nowhere is refused."""

from pathlib import Path
from typing import Any

import pytest

from raytune_app.errors import InputError
from raytune_app.spec import Experiment, parse
from raytune_app.storage import Storage
from raytune_app.tuning.events import EventLog
from raytune_app.tuning.folder import StudyFolder, create_study
from raytune_app.tuning.search.base import Ending
from raytune_app.tuning.warm_start import keep_learnt, kept_learnt, learnt_from


def _experiment(**changes: Any) -> Experiment:
    content = {
        "name": "w",
        "data": {"name": "mnist"},
        "model": {"name": "tutorial_cnn"},
        "train": {"lr": {"loguniform": [1e-3, 1e-1]}},
        "search": {"name": "tpe"},
    }
    return parse(content | changes)


def _study(folder: Path) -> StudyFolder:
    storage = Storage(str(folder))
    study = create_study(storage, _experiment())
    log = EventLog(storage, study.paths)
    for number, lr in enumerate((1e-2, 5e-2, 2e-1)):
        log.append("trial_started", trial=number, config={"train.lr": lr, "train.l1": 0.0}, role="search", of=None)
        log.append("epoch", trial=number, epoch=1, accuracy=lr * 10)
    log.append("trial_ended", trial=0, state="finished", error=None)
    log.append("trial_ended", trial=1, state="diverged", error=None)
    return study


def test_values_beyond_the_domains_are_left_out_and_the_rest_is_told(tmp_path: Path) -> None:
    learnt = learnt_from(_study(tmp_path), _experiment())
    assert [values for values, _ in learnt] == [{"train.lr": 1e-2}, {"train.lr": 5e-2}]
    assert [told.ending for _, told in learnt] == [Ending.WHOLE, Ending.LOST]
    assert learnt[0][1].scores == [0.1]


def test_a_study_with_nothing_in_common_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lies inside these domains"):
        learnt_from(_study(tmp_path), _experiment(train={"momentum": {"uniform": [0.1, 0.9]}}))


def test_a_study_with_another_objective_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="after accuracy"):
        learnt_from(_study(tmp_path), _experiment(objective={"metric": "loss"}))


def test_what_was_learnt_outlives_the_other_study(tmp_path: Path) -> None:
    other = _study(tmp_path)
    experiment = _experiment(search={"name": "tpe", "warm_start": other.study})
    own = create_study(other.storage, experiment)
    learnt = learnt_from(other, experiment)
    keep_learnt(own, learnt)
    other.storage.delete(other.paths.folder)
    assert kept_learnt(own, experiment) == learnt


def test_a_study_killed_before_it_kept_anything_learns_again(tmp_path: Path) -> None:
    other = _study(tmp_path)
    experiment = _experiment(search={"name": "tpe", "warm_start": other.study})
    own = create_study(other.storage, experiment)
    assert kept_learnt(own, experiment) == learnt_from(other, experiment)


def test_without_a_warm_start_nothing_is_learnt(tmp_path: Path) -> None:
    assert kept_learnt(_study(tmp_path), _experiment()) == []
