"""How long a person waits for a cluster: submit to an id, to the first epoch, to its line in `watch`; stop to free.

A head and a worker of two CPUs, started here by `ray start`. `watch` is started as soon as `submit` has answered, and
the time from the first epoch in the event log to its line counts. Each round is a study of its own; the first one also
sends the package, the others find it there.

    python benchmarks/submit_latency.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from raytune_app.storage import Storage, StudyPaths  # noqa: E402  # this project, wherever it is started from
from tests.e2e.ray_nodes import RayNodes  # noqa: E402  # the same

GOALS = {"id": 5.0, "first epoch": 15.0, "first row": 2.0, "stop": 5.0}
DEADLINE_S = 120.0
CHANGES = ("trials=2", "train.epochs=500", "data.train_limit=3000", "scheduler.name=fifo", "register=null")


def main() -> int:
    """Print the table; exit 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, RayNodes() as nodes:
        nodes.add_worker(cpus=2)
        rounds = [_round(nodes, Path(folder)) for _ in range(args.rounds)]
    missed = False
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        goal = GOALS.get(name)
        missed |= goal is not None and statistics.mean(values) > goal
        told = f" (goal {goal:g})" if goal else ""
        print(f"{name:<12} {statistics.mean(values):5.1f} s, sd {spread:.1f}, n = {len(values)}{told}")
    return int(missed)


def _round(nodes: RayNodes, storage: Path) -> dict[str, float]:
    began_s = time.monotonic()
    told = _raytune(nodes, storage, "submit", str(ROOT / "experiments/smoke.yaml"), *_changes(), "--address", nodes.url)
    found = {"id": time.monotonic() - began_s}
    study = json.loads(told)["study"]
    seen = _watch(nodes, storage, study)
    events = Storage(str(storage)).full(StudyPaths(study).events)
    _until(lambda: Path(events).exists() and '"event": "epoch"' in Path(events).read_text())
    epoch_s = time.monotonic()
    found["first epoch"] = epoch_s - began_s
    _until(lambda: seen)
    found["first row"] = max(0.0, seen[0] - epoch_s)
    began_s = time.monotonic()
    _raytune(nodes, storage, "stop", study)
    _until(lambda: _is_free(nodes))
    found["stop"] = time.monotonic() - began_s
    return found


def _changes() -> list[str]:
    return [part for change in CHANGES for part in ("--set", change)]


def _environment(nodes: RayNodes) -> dict[str, str]:
    return {name: value for name, value in nodes.environment.items() if name != "RAY_AUTH_MODE"}


def _raytune(nodes: RayNodes, storage: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "raytune_app", *arguments, "--storage", str(storage), "--json"]
    ended = subprocess.run(  # noqa: S603  # our own command
        command, cwd=ROOT, env=_environment(nodes), capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    return ended.stdout


def _watch(nodes: RayNodes, storage: Path, study: str) -> list[float]:
    """When `watch` told of an epoch first; it ends with the study."""
    command = [sys.executable, "-m", "raytune_app", "watch", "-v", study, "--storage", str(storage)]
    process = subprocess.Popen(  # noqa: S603  # the same
        command, cwd=ROOT, env=_environment(nodes), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    seen: list[float] = []

    def listen() -> None:
        assert process.stdout is not None
        seen.extend(time.monotonic() for line in process.stdout if "epoch" in line and "loss" in line)
        process.wait()

    threading.Thread(target=listen, daemon=True).start()
    return seen


def _is_free(nodes: RayNodes) -> bool:
    status: dict[str, Any] = nodes.get("/api/cluster_status").json()["data"]["clusterStatus"]
    used, _ = status["loadMetricsReport"]["usage"]["CPU"]
    return bool(used == 0)


def _until(done: Any) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not done():
        if time.monotonic() > deadline_s:
            raise TimeoutError("waited in vain")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
