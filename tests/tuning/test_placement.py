"""Fractions of a GPU, on a cluster that declares one: as many trials as fit, on that one, and no more."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]


def test_four_trials_share_a_gpu_and_the_fifth_waits(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.tuning.declared_gpus", str(tmp_path)],
        cwd=ROOT, env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["slots"] == 4
    assert [seen["gpus"] for seen in told["seen"]] == [[0]] * 5, "all on the one GPU"
    first, fifth = told["seen"][:4], told["seen"][4]
    assert max(seen["began"] for seen in first) < min(seen["ended"] for seen in first), "four ran side by side"
    assert fifth["began"] >= min(seen["ended"] for seen in first), "the fifth waited for a place"
