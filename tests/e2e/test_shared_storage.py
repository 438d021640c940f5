"""Two real Ray nodes, one of which sees another folder in the storage's place: refused before anything is lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.ray_nodes import RayNodes

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]

DEADLINE_S = 90.0
EXPERIMENT = {
    "name": "unshared",
    "data": {"name": "mnist", "train_limit": 300},
    "model": {"name": "tutorial_cnn", "channels": 4},
    "train": {"epochs": 1, "lr": {"loguniform": [1e-3, 1e-1]}, "speed": "plain"},
    "trials": 2,
}
CHECK = """
import sys
from raytune_app.cluster import connect
from raytune_app.cluster.shared import check_shared
from raytune_app.storage import Storage
with connect(sys.argv[1]):
    check_shared(Storage(sys.argv[2]))
print("shared")
"""


def _hidden(folder: Path) -> list[str]:
    """Runs a command in a file system of its own, in which this folder is another, empty one."""
    script = 'mount -t tmpfs none "$0" && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(folder)]


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    folder = tmp_path / "hidden"
    folder.mkdir()
    if subprocess.run([*_hidden(folder), "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount anything")
    return folder


@pytest.fixture
def nodes(hidden: Path) -> Iterator[RayNodes]:
    with RayNodes({"PYTHONPATH": os.getcwd()}, head_cpus=1) as nodes:  # noqa: PTH109  # as a variable takes it
        nodes.add_worker(cpus=1, inside=_hidden(hidden))
        yield nodes


def test_a_folder_that_another_node_does_not_see_is_refused_and_one_that_it_sees_is_not(
    nodes: RayNodes, hidden: Path, tmp_path: Path
) -> None:
    spec, seen = tmp_path / "unshared.yaml", tmp_path / "seen"
    spec.write_text(yaml.safe_dump(EXPERIMENT))
    refused = _python(nodes, "-m", "raytune_app", "run", str(spec), "--storage", str(hidden))
    assert refused.returncode == 2, refused.stderr
    assert f"the storage {hidden} is not shared by all machines" in refused.stderr
    assert re.search(r"\(127\.0\.0\.\d\) has another folder there", refused.stderr), refused.stderr
    assert "NFS" in refused.stderr and "s3://" in refused.stderr
    assert not any(hidden.iterdir())

    shared = _python(nodes, "-c", CHECK, nodes.address, str(seen))
    assert shared.stdout == "shared\n", shared.stderr
    assert not any(seen.iterdir())


def _python(nodes: RayNodes, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        env={**nodes.environment, "RAY_ADDRESS": nodes.address},
    )  # fmt: skip
