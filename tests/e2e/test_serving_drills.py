"""Clusters that change under a served endpoint: no request is lost when a node is drained, and load brings replicas."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]


def _told(scenario: str, folder: Path) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.e2e.serving_scenarios", scenario, str(folder)],
        cwd=ROOT, env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=270, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    told: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return told


def test_a_drained_node_costs_no_answer(tmp_path: Path) -> None:
    told = _told("drained", tmp_path)
    assert told["worker"] in told["before"], "one replica was there"
    assert told["worker"] not in told["after"]
    assert len(told["after"]) == 2
    assert set(told["statuses"]) == {"200"}, told["statuses"]


def test_more_clients_bring_another_replica(tmp_path: Path) -> None:
    told = _told("grows", tmp_path)
    assert told["before"] == 1
    assert set(told["statuses"]) == {"200"}, told["statuses"]
