"""A study whose driver is killed, with all of its Ray, goes on elsewhere and ends as one that was never killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.events import read_events
from tests.tuning.world import decisions

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

DEADLINE_S = 150.0
EXPERIMENT = {
    "name": "drill",
    "seed": 2,
    "data": {"name": "mnist", "train_limit": 1500, "validation": 0.2},
    "model": {"name": "tutorial_cnn", "channels": 8},
    "train": {
        "epochs": 6,
        "batch_size": 50,
        "lr": {"loguniform": [1e-3, 1e-1], "perturb": True},
        "momentum": {"uniform": [0.0, 0.9], "perturb": True},
        "optimizer": "sgd",
        "speed": "plain",
    },
    "scheduler": {"name": "pbt", "interval": 2},
    "trials": 4,
    "resources": {"concurrent": 1},  # then the order of reports, too, follows from the seed alone
}


def test_kill_9_and_a_moved_folder_change_nothing(tmp_path: Path) -> None:
    spec = tmp_path / "drill.yaml"
    spec.write_text(yaml.safe_dump(EXPERIMENT))
    whole, killed, moved = (tmp_path / name for name in ("whole", "killed", "moved"))
    _raytune("run", str(spec), "--storage", str(whole))
    expected = _outcome(whole)
    assert len(expected["resumed"]) >= 4, "no perturbation to survive"
    _kill_in_the_middle(["run", str(spec), "--storage", str(killed)], killed)
    shutil.move(killed, moved)
    with next((moved / "studies").iterdir()).joinpath("events.jsonl").open("a") as log:
        log.write('{"event": "epo')  # as a crash in the middle of a line leaves it
    ended = _raytune("resume", "drill", "--storage", str(moved), "--json")
    assert ended["state"] == "finished"
    assert _outcome(moved) == expected


def _outcome(storage: Path) -> dict[str, Any]:
    (study,) = (storage / "studies").iterdir()
    return decisions(read_events(Storage(str(storage)), StudyPaths(study.name)))


def _raytune(*arguments: str) -> Any:
    ended = subprocess.run(
        [sys.executable, "-m", "raytune_app", *arguments],
        capture_output=True, text=True, timeout=DEADLINE_S, env=_environment(), check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout) if "--json" in arguments else None


def _kill_in_the_middle(arguments: list[str], storage: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "raytune_app", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment(), start_new_session=True,
    )  # fmt: skip
    try:
        _wait_for(storage, process, '"reason": "copied"')
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    for child in children:  # the whole Ray dies with it
        if child.is_running():
            child.kill()
    assert not psutil.wait_procs(children, timeout=20)[1]


def _wait_for(storage: Path, process: "subprocess.Popen[bytes]", text: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        if any(text in log.read_text() for log in storage.glob("studies/*/events.jsonl")):
            return
        time.sleep(0.05)
    raise AssertionError(f"no {text} in time; exit code {process.poll()}")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
