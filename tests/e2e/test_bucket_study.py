"""A study in a bucket: from start to winner, through a kill -9 of its driver and all of Ray, to an exported model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.events import read_events
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.tail import Tail
from raytune_app.tuning.view import Event, StudyState, TrialState
from tests.s3_server import CREDENTIALS, S3Server

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

DEADLINE_S = 150.0
EXPERIMENT = {
    "name": "bucket",
    "seed": 1,
    "data": {"name": "mnist", "train_limit": 2000},
    "model": {"name": "tutorial_cnn", "channels": 8},
    "train": {"epochs": 6, "batch_size": 50, "lr": {"loguniform": [1e-3, 1e-1]}, "speed": "plain"},
    "trials": 3,
    "resources": {"concurrent": 2},
    "register": {"model": "digits", "alias": "champion"},
}


def test_a_study_in_a_bucket_loses_no_finished_trial_and_at_most_an_epoch(tmp_path: Path, s3: S3Server) -> None:
    storage, spec = Storage(s3.uri()), tmp_path / "bucket.yaml"
    spec.write_text(yaml.safe_dump(EXPERIMENT))
    said = tmp_path / "driver.log"
    with _running(said, "run", str(spec), "--storage", storage.uri) as driver:
        before = _seen(storage, driver, _one_ended_and_one_in_the_middle)
        assert before is not None, said.read_text()
    finished = {event["trial"] for event in before if event["event"] == "trial_ended"}
    (study,) = storage.folders("studies")
    killed = StudyFolder(storage, StudyPaths(study)).view()

    ended = _raytune("resume", study, "--storage", storage.uri)

    folder = StudyFolder(storage, StudyPaths(study))
    events = read_events(storage, folder.paths)
    assert events[: len(before)] == before
    going_on = events[[event["event"] for event in events].index("study_resumed") :]
    assert finished and not finished & {event["trial"] for event in going_on if event["event"] == "epoch"}
    resumed = {event["trial"]: event["epoch"] for event in going_on if event["event"] == "trial_resumed"}
    for number, epoch in resumed.items():
        assert epoch >= max((row["epoch"] for row in killed.trials[number].epochs), default=0) - 1
    assert any(resumed.values()), "no trial went on from a checkpoint"
    view = folder.view()
    assert ended["state"] == "finished" and view.state is StudyState.FINISHED
    assert {trial.state for trial in view.trials.values()} == {TrialState.FINISHED}
    _has_all_its_files(folder)
    _gives_a_report_and_a_model(storage, study, tmp_path)
    _holds_no_secret(storage)


def _one_ended_and_one_in_the_middle(events: list[Event]) -> bool:
    ended = {event["trial"] for event in events if event["event"] == "trial_ended"}
    saved = [event for event in events if event["event"] == "checkpoint" and event["trial"] not in ended]
    return bool(ended) and any(event["epoch"] >= 2 for event in saved)


def _has_all_its_files(folder: StudyFolder) -> None:
    names = folder.storage.files(folder.paths.folder)
    assert {"spec.yaml", "study.json", "events.jsonl", "trials.parquet", "winner.json"} <= set(names)
    assert any("tfevents" in name for name in folder.storage.files_below(folder.paths.tensorboard))


def _gives_a_report_and_a_model(storage: Storage, study: str, folder: Path) -> None:
    _raytune("report", study, "--storage", storage.uri)
    assert b"<html" in storage.read(StudyPaths(study).report)[:1000].lower()
    _raytune("export", "digits@champion", str(folder / "model"), "--storage", storage.uri)
    assert (folder / "model" / "weights.safetensors").stat().st_size > 1000


def _holds_no_secret(storage: Storage) -> None:
    secret = CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode()
    files = storage.files_below("")
    assert len(files) > 20
    assert not [file for file in files if secret in storage.read(file)]


@contextmanager
def _running(said: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A driver, killed with all of its Ray at the end; what it says goes to a file."""
    with said.open("wb") as log:
        driver = subprocess.Popen(
            [sys.executable, "-m", "raytune_app", *arguments],
            stdout=log, stderr=log, env=_environment(), start_new_session=True,
        )  # fmt: skip
    try:
        yield driver
    finally:
        children = psutil.Process(driver.pid).children(recursive=True) if driver.poll() is None else []
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        for child in children:
            if child.is_running():
                child.kill()
        assert not psutil.wait_procs(children, timeout=20)[1]


def _seen(
    storage: Storage, driver: subprocess.Popen[bytes], enough: Callable[[list[Event]], bool]
) -> list[Event] | None:
    """The events until there are enough of them; None if the driver ended before."""
    deadline, seen, tail = time.monotonic() + DEADLINE_S, list[Event](), None
    while time.monotonic() < deadline and driver.poll() is None:
        for study in storage.folders("studies") if tail is None else ():
            tail = Tail(StudyFolder(storage, StudyPaths(study)))
        seen += tail.new() if tail is not None else []
        if enough(seen):
            return seen
        time.sleep(0.05)
    return None


def _raytune(*arguments: str) -> Any:
    ended = subprocess.run(
        [sys.executable, "-m", "raytune_app", *arguments, "--json"],
        capture_output=True, text=True, timeout=DEADLINE_S, env=_environment(), check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
