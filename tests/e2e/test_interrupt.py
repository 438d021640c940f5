"""Ctrl-C in the middle of a study, in a process of its own: a clean end, and a folder that opens."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

DEADLINE_S = 120.0


def test_ctrl_c_ends_the_study_cleanly_and_its_folder_opens(tmp_path: Path) -> None:
    long_study = ["run", "experiments/smoke.yaml", "--set", "train.epochs=500", "--set", "scheduler.name=fifo"]
    process = _start([*long_study, "--storage", str(tmp_path), "--json"])
    try:
        _wait_for_epochs(tmp_path, process)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1, err
    assert json.loads(out)["state"] == "stopped"
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert gone and not alive
    shown = subprocess.run(
        [sys.executable, "-m", "raytune_app", "show", "smoke", "--storage", str(tmp_path), "--json"],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    study = json.loads(shown.stdout)
    assert study["study"]["state"] == "stopped" and study["study"]["reason"] == "interrupted"
    assert study["winner"]["test"] is None, "an interrupted study never opens the sealed test part"
    (folder,) = (tmp_path / "studies").iterdir()
    assert (folder / "report.html").exists()


def _start(arguments: list[str]) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        [sys.executable, "-m", "raytune_app", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip


def _wait_for_epochs(storage: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        if any('"event": "checkpoint"' in log.read_text() for log in storage.glob("studies/*/events.jsonl")):
            return
        time.sleep(0.2)
    raise AssertionError(
        f"no epoch before the deadline: {process.communicate()[1] if process.poll() is not None else ''}"
    )
