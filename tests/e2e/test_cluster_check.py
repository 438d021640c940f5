"""`raytune cluster check` on a real head and a real worker, through the dashboard and attached."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]
RAYTUNE = str(Path(sys.executable).with_name("raytune"))


def _ray_nodes(**settings: Any) -> Any:
    spec = importlib.util.spec_from_file_location("ray_nodes", Path(__file__).with_name("ray_nodes.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.RayNodes(**settings)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    with _ray_nodes() as running:
        running.add_worker(cpus=1, gpus=1)
        (running.folder / "storage").mkdir()
        yield running


def _check(nodes: Any, address: str, storage: str, cwd: Path) -> tuple[int, dict[str, Any]]:
    command = [RAYTUNE, "cluster", "check", "--address", address, "--storage", storage, "--json"]
    done = subprocess.run(
        command, env=nodes.environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout, done.stderr
    assert nodes.token_file.read_text() not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("way", ["url", "address"])
def test_a_healthy_cluster_of_two_nodes_is_seen_whole(nodes: Any, way: str, tmp_path: Path) -> None:
    storage: Path = nodes.folder / "storage"
    code, said = _check(nodes, getattr(nodes, way), str(storage), tmp_path)
    problems = [each["what"] for each in said["findings"] if each["severity"] == "problem"]
    assert (code, said["ok"], problems) == (0, True, [])
    head, worker = said["facts"]["nodes"]
    assert (head["head"], worker["head"]) == (True, False)
    assert (worker["resources"]["CPU"], worker["resources"]["GPU"]) == (1, 1)
    for node in (head, worker):
        assert node["ray"] == said["facts"]["here"]["ray"]
        assert node["storage"]["uri"] == str(storage)
        assert abs(node["clock"]["ahead_s"]) < 1
    assert list(storage.iterdir()) == [], "the notes are taken away"


def test_a_token_that_others_may_read_and_a_storage_that_is_not_shared_are_found(nodes: Any, tmp_path: Path) -> None:
    nodes.token_file.chmod(0o644)
    try:
        # A path that is another folder in each process, as one of the same name on different machines is.
        code, said = _check(nodes, nodes.address, "/proc/self/cwd", tmp_path)
    finally:
        nodes.token_file.chmod(0o600)
    problems = "\n".join(each["what"] for each in said["findings"] if each["severity"] == "problem")
    assert code == 1
    assert "others may read the token's file" in problems
    assert "it is not shared" in problems
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_run_on_a_cluster_that_asks_for_no_token(tmp_path: Path) -> None:
    with _ray_nodes(environment={"RAY_AUTH_MODE": "disabled"}) as running:
        for address in (running.url, running.address):
            code, said = _check(running, address, str(tmp_path), tmp_path)
            assert (code, said["facts"]["nodes"]) == (1, [])
            (finding,) = [each for each in said["findings"] if each["severity"] == "problem"]
            assert "asks for no token" in finding["what"]
        assert running.get("/api/jobs/").json() == []
    assert list(tmp_path.iterdir()) == []
