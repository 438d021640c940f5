"""A person at a laptop and a Ray cluster of several nodes: what the tests of submitted studies share."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from raytune_app.storage import Storage
from raytune_app.tuning.events import read_events
from raytune_app.tuning.folder import StudyFolder, open_study
from raytune_app.tuning.view import Event, TrialState
from tests.e2e.ray_nodes import RayNodes

DEADLINE_S = 240.0
PACE = """
import time
from pathlib import Path

import ray


def train(context):
    where = ray.get_runtime_context().get_node_id()
    if meeting := context.params.get("meeting"):  # nobody goes on before all are there at once
        (Path(meeting) / str(context.seed)).touch()
        deadline = time.monotonic() + 200
        while len(list(Path(meeting).iterdir())) < context.params["together"] and time.monotonic() < deadline:
            time.sleep(0.05)
    for epoch in range(context.epoch, context.experiment.train.epochs):
        time.sleep(context.params["sleep_s"])
        (context.folder / "epoch").write_text(str(epoch))
        print(f"{MARK} node {where}")
        yield {"score": context.params["x"] * (epoch + 1)}
"""
"""A training that only takes its time, says where it is, and whose code it is."""


@dataclass
class Laptop:
    """Where the commands are typed: no Ray of its own, the cluster's token in a file, a shared storage."""

    nodes: RayNodes
    home: Path
    storage: Storage
    typed: list[str] = field(default_factory=list)

    def raytune(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        environment = {name: value for name, value in self.nodes.environment.items() if name != "RAY_AUTH_MODE"}
        ended = subprocess.run(
            [sys.executable, "-m", "raytune_app", *arguments, "--storage", self.storage.uri],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=self.home,
            env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert ended.returncode == code, f"{arguments}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def spec(self, name: str, **changes: Any) -> Path:
        """An experiment of pace.py beside it; `changes` are merged in at the top."""
        content: dict[str, Any] = {
            "name": name,
            "seed": 1,
            "data": {"name": "mnist", "train_limit": 100},
            "trial": "pace:train",
            "params": {"sleep_s": 0.3, "x": {"uniform": [0.0, 1.0]}},
            "train": {"epochs": 4},
            "objective": {"metric": "score", "mode": "max"},
            "trials": 4,
            "resources": {"gpus": 0},
            **changes,
        }
        path = self.home / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    def code(self, mark: str) -> Path:
        """A folder with a pace.py of its own."""
        folder = self.home / f"code-{mark}"
        folder.mkdir(exist_ok=True)
        (folder / "pace.py").write_text(f'MARK = "{mark}"\n{PACE}')
        return folder

    def submit(self, spec: Path, code: Path, *arguments: str) -> StudyFolder:
        """Submit, and wait for the folder."""
        command = ["submit", str(spec), "--with", str(code), "--address", self.nodes.url, "--json", *arguments]
        study = json.loads(self.raytune(*command).stdout)["study"]
        self.until(lambda: self.storage.exists(f"studies/{study}/study.json"), f"{study} came to the storage")
        return open_study(self.storage, study)

    def until(self, done: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait for it."""
        latest_s = time.monotonic() + deadline_s
        while not done():
            assert time.monotonic() < latest_s, f"waited in vain: {what}\n{self.logs()}"
            time.sleep(0.1)

    def ended(self, folder: StudyFolder, state: str = "finished") -> dict[str, Any]:
        """Wait until the study has ended so; returns its record."""
        self.until(lambda: _is_over(folder.record()), f"{folder.study} ended")
        record = folder.record()
        assert record["state"] == state, f"{record}\n{self.logs()}"
        return record

    def logs(self) -> str:
        """The end of every job's log."""
        jobs = [job["submission_id"] for job in self.nodes.get("/api/jobs/").json()]
        return "\n".join(f"{job}:\n{self.nodes.get(f'/api/jobs/{job}/logs').json()['logs'][-3000:]}" for job in jobs)


def _is_over(record: Mapping[str, Any]) -> bool:
    return record["state"] not in ("queued", "running") and record["settled"]


def events(folder: StudyFolder) -> list[Event]:
    """So far; none while there is no log."""
    there = folder.storage.exists(folder.paths.events)
    return read_events(folder.storage, folder.paths) if there else []


def kinds(folder: StudyFolder, kind: str) -> list[Event]:
    """The events of one kind."""
    return [event for event in events(folder) if event["event"] == kind]


def driver(folder: StudyFolder) -> psutil.Process:
    """The process that works on the study."""
    return psutil.Process(folder.record()["driver"]["pid"])


def check_nothing_was_lost(folder: StudyFolder, trials: int, epochs: int) -> None:
    """Every trial finished once, no finished one trained again, and a broken-off one lost an epoch at most."""
    seen: dict[int, int] = {}
    finished: set[int] = set()
    for event in events(folder):
        match event["event"]:
            case "epoch":
                number = event["trial"]
                assert number not in finished, f"trial {number} was trained again"
                assert event["epoch"] >= seen.get(number, 0), f"trial {number} lost more than an epoch: {event}"
                seen[number] = event["epoch"]
            case "trial_ended":
                assert event["state"] == TrialState.FINISHED, event
                finished.add(event["trial"])
    assert finished == set(range(trials))
    assert seen == dict.fromkeys(range(trials), epochs)


def nodes_of(folder: StudyFolder) -> Mapping[str, set[int]]:
    """Which trials trained on which node, by what pace.py printed."""
    where: dict[str, set[int]] = {}
    for event in kinds(folder, "output"):
        where.setdefault(event["text"].split("node ")[1].strip(), set()).add(event["trial"])
    return where
