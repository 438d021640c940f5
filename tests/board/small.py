"""Small studies, written as a study writes them."""

from __future__ import annotations

from typing import Any

from raytune_app.spec import Experiment, parse
from raytune_app.storage import Storage, StudyPaths
from raytune_app.training.metrics import SCORE_TITLES
from raytune_app.tuning.events import EventLog
from raytune_app.tuning.folder import StudyFolder

STUDY = "tiny-20261101-000000-0000"


def experiment(**changes: Any) -> Experiment:
    told = {
        "name": "tiny",
        "data": {"name": "mnist"},
        "model": {"name": "conv_net"},
        "train": {"epochs": 3, "lr": {"loguniform": [1e-4, 1e-1]}, "momentum": {"uniform": [0.0, 0.9]}},
        "scheduler": {"name": "asha", "grace": 1, "reduction": 2},
        "trials": 4,
    }
    return parse({**told, **changes})


def make_study(storage: Storage, study: str = STUDY, **changes: Any) -> tuple[StudyFolder, EventLog]:
    """A study that has begun, and its log."""
    folder = StudyFolder(storage, StudyPaths(study))
    storage.write(folder.paths.spec, experiment(**changes).to_yaml())
    record = {"study": study, "name": "tiny", "state": "running", "reason": None, "seed": 0, "speed": None}
    more = {"created": "2026-11-01T00:00:00+00:00", "versions": {"ray": "2"}, "job": None, "driver": None}
    prints = {"data_fingerprint": "d", "code_fingerprint": "c"}
    storage.write_json(folder.paths.state, {**record, **more, **prints})
    log = EventLog(storage, folder.paths)
    log.append("study_started", study=study, trials=4, epochs=3)
    return folder, log


def finish(folder: StudyFolder, log: EventLog, label: str = "zero") -> None:
    """Trial 0 trains to its end and wins."""
    for epoch, accuracy in ((1, 0.5), (2, 0.7513)):
        train(log, 0, epoch, accuracy)
    log.append("trial_ended", trial=0, state="finished", error=None)
    log.append("study_ended", state="finished", reason=None)
    scores = {key + end: 0.9123 for key in SCORE_TITLES for end in ("", "_low", "_high")}
    labels = [label, "one"]
    rows = [{"label": name, "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 5} for name in labels]
    test = {"n": 10, **scores, "per_class": rows, "confusion": [[4, 1], [0, 5]], "labels": labels}
    winner = {
        "trial": 0,
        "epoch": 2,
        "metric": "accuracy",
        "score": 0.7513,
        "parameters": 10,
        "config": log.view.trials[0].config,
        "schedule": [],
        "confirmed": [{"trial": 0, "search_score": 0.76, "scores": [0.75, 0.74], "mean": 0.745, "se": 0.005}],
        "search_trial": 0,
        "baseline": None,
        "pareto": [],
        "role": "search",
        "experiment": {},
        "test": test,
        "model": {"name": "m", "version": 1, "alias": None},
    }
    folder.storage.write_json(folder.paths.winner, winner)
    folder.update(state="finished")


def begin(log: EventLog, trial: int, /, lr: float = 0.01, **more: Any) -> None:
    log.append("trial_started", trial=trial, config={"train.lr": lr, "train.momentum": 0.5, **more})


def train(log: EventLog, trial: int, epoch: int, accuracy: float, **more: Any) -> None:
    row = {"loss": 1 - accuracy, "accuracy": accuracy, "epoch_s": 1.5, "diverged": False, "parameters": 10}
    log.append("epoch", trial=trial, epoch=epoch, **{**row, "decision": None, "rung": None, **more})


def population(log: EventLog) -> None:
    """Two trials, of which the second copies the first and is interrupted later."""
    begin(log, 0)
    begin(log, 1, lr=0.05)
    for trial in (0, 1):
        train(log, trial, 1, 0.5 + trial / 10, decision="paused", rung=1, host="here", pid=40 + trial)
    log.append("trial_paused", trial=1, epoch=1)
    copied = {"epoch": 1, "source": 0, "source_epoch": 1, "reason": "copied"}
    log.append("trial_resumed", trial=1, config={"train.lr": 0.02, "train.momentum": 0.5}, **copied)
    train(log, 1, 2, 0.8, host="here", pid=41)
    log.append("output", trial=1, epoch=2, text="<b>hello</b>\n")
    log.append("trial_interrupted", trial=1, error="a process died", fault=True)
    own = {"epoch": 1, "source": 0, "source_epoch": 1, "reason": "restarted"}
    log.append("trial_resumed", trial=1, config={"train.lr": 0.02, "train.momentum": 0.5}, **own)
