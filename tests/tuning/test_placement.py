"""Where trials run, on clusters that declare GPUs, memory, custom resources and labels; and when a node is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]


def _told(scenario: str, folder: Path) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.tuning.declared_cluster", scenario, str(folder)],
        cwd=ROOT, env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    told: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return told


def test_four_trials_share_a_gpu_and_the_fifth_waits(tmp_path: Path) -> None:
    told = _told("quarters", tmp_path)
    assert told["slots"] == 4
    assert [seen["gpus"] for seen in told["seen"]] == [told["seen"][0]["gpus"]] * 5, "all on the one GPU"
    assert len(told["seen"][0]["gpus"]) == 1
    first, fifth = told["seen"][:4], told["seen"][4]
    assert max(seen["began"] for seen in first) < min(seen["ended"] for seen in first), "four ran side by side"
    assert fifth["began"] >= min(seen["ended"] for seen in first), "the fifth waited for a place"


def test_memory_custom_resources_and_labels_choose_the_node_and_how_many(tmp_path: Path) -> None:
    told = _told("labelled", tmp_path)
    assert told["slots"] == 2, "three by memory, four by CPUs, two by the custom resource"
    assert {seen["node"] for seen in told["seen"]} == {told["node"]}, "only the labelled node, though another has more"
    ends = sorted(seen["ended"] for seen in told["seen"])
    assert sum(seen["began"] < ends[0] for seen in told["seen"]) == 2, "two side by side, the others after them"


def test_a_lost_node_is_not_the_trials_fault(tmp_path: Path) -> None:
    told = _told("lost", tmp_path)
    assert [seen["node"] for seen in told["seen"]] == [told["left"]] * 2, "both ended on the node that was left"
    (interrupted,) = [event for event in told["events"] if event["event"] == "trial_interrupted"]
    assert interrupted["fault"] is False
    assert [event["state"] for event in told["events"] if event["event"] == "trial_ended"] == ["finished"] * 2
