from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from raytune_app.data.arrays import Training
from raytune_app.spec import parse
from raytune_app.training.folded import FoldedRun
from raytune_app.training.learner import Learner, OwnLearner, build_learner
from raytune_app.training.result import EpochResult
from raytune_app.training.run import Run
from raytune_app.training.speed import Speed
from raytune_app.training.user import UserRun

NETWORK = {"model": {"name": "tutorial_cnn", "channels": 2}}
KINDS: dict[str, dict[str, Any]] = {
    "run": NETWORK,
    "folds": NETWORK | {"folds": 2},
    "user": {"trial": "mine:train", "objective": {"metric": "score", "mode": "max"}},
}


@pytest.fixture
def make_learner(data: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = ModuleType("mine")
    module.train = lambda context: ({"score": float(n)} for n in range(context.epoch, 9))  # type: ignore[attr-defined]  # as a file would hold it
    monkeypatch.setitem(sys.modules, "mine", module)

    def make(kind: str, folder: str = "own") -> Learner:
        experiment = parse({"name": "test", "data": {"name": "mnist"}, "train": {"epochs": 3}, **KINDS[kind]})
        device, speed = torch.device("cpu"), Speed()
        return build_learner(experiment, data, seed=1, device=device, speed=speed, folder=tmp_path / folder)

    return make


def test_the_experiment_decides_what_trains(make_learner: Any) -> None:
    run, folded, user = (make_learner(kind) for kind in ("run", "folds", "user"))
    assert isinstance(run, OwnLearner) and isinstance(run.run, Run)
    assert isinstance(folded, OwnLearner) and isinstance(folded.run, FoldedRun)
    assert isinstance(user, UserRun)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_on_from_its_state(make_learner: Any, kind: str) -> None:
    whole, second = make_learner(kind), make_learner(kind, "other")
    first_row = whole.train_epoch()
    second.load_state(whole.state())
    rows = [whole.train_epoch(), second.train_epoch()]
    for row in (first_row, *rows):
        assert {"epoch", "diverged", "finished", "epoch_s"} <= row.keys()
        for timing in ("epoch_s", "examples_per_s"):
            row.pop(timing, None)
    assert rows[0] == rows[1] != first_row


@pytest.mark.parametrize("kind", ["run", "folds"])
def test_our_rows_have_the_fields_of_an_epochs_result(make_learner: Any, kind: str) -> None:
    row = make_learner(kind).train_epoch()
    assert list(row) == [field.name for field in fields(EpochResult)]
    assert (row["objective_se"] is None) == (kind == "run")
