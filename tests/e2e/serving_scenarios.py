"""Drills of a served endpoint on clusters of their own: `python -m tests.e2e.serving_scenarios SCENARIO FOLDER`.

Each writes what it saw to FOLDER/told.json. In a process of their own, since Ray's environment is read only once.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["RAY_AUTH_MODE"] = "disabled"  # the test cluster never hands out a token, and listens on loopback

import httpx
import numpy as np
import psutil
import ray
from ray.cluster_utils import Cluster as Nodes

from raytune_app.cluster import connect
from raytune_app.endpoint import tensors
from raytune_app.endpoint.deployment import deploy
from raytune_app.endpoint.fastpath import fast_serve, free_ports
from raytune_app.process import environment
from raytune_app.registry import Registry
from raytune_app.storage import Storage
from tests.conftest import _draft

ROOT = Path(__file__).parents[2]
DEADLINE_S = 90


def main() -> None:
    """Run one scenario."""
    scenario, folder = sys.argv[1], Path(sys.argv[2])
    registry = Registry(Storage(str(folder / "storage")))
    registry.register("mnist", _draft())
    told = {"drained": drained, "grows": grows}[scenario](registry, folder)
    (folder / "told.json").write_text(json.dumps(told))


def drained(registry: Registry, folder: Path) -> dict[str, Any]:
    """Two replicas on two nodes under load; the node without the head is drained and then taken away."""
    with environment({**fast_serve(folder), "PYTHONPATH": str(ROOT)}):
        head = {"num_cpus": 3, "include_dashboard": True, "dashboard_port": free_ports(1)[0]}
        nodes = Nodes(initialize_head=True, head_node_args=head)
        worker = nodes.add_node(num_cpus=1)
    try:
        with (
            connect(nodes.address) as cluster,
            deploy(cluster, {"mnist": 1}, registry.storage.uri, port=free_ports(1)[0], replicas=2) as deployment,
        ):
            before = _nodes_of_replicas()
            with _load_on(f"{deployment.url}/v2/models/mnist/classify", 3, bytes(784)) as statuses:
                time.sleep(1)
                _drain(nodes.address, worker.node_id)
                _until(lambda: worker.node_id not in _nodes_of_replicas() and len(_nodes_of_replicas()) == 2)
                _until(deployment.ready)
                nodes.remove_node(worker, allow_graceful=True)
                time.sleep(3)
            return {"before": before, "after": _nodes_of_replicas(), "worker": worker.node_id, "statuses": statuses}
    finally:
        nodes.shutdown()


def grows(registry: Registry, folder: Path) -> dict[str, Any]:
    """One replica that may become two, with more work inside than one is meant to have: many pictures a request."""
    with (
        connect(cpus=3) as cluster,
        deploy(cluster, {"mnist": 1}, registry.storage.uri, port=free_ports(1)[0], replicas=1, most=2) as deployment,
    ):
        before = len(_replicas())
        body, headers = tensors.request(np.zeros((250, 1, 28, 28), np.uint8))
        with _load_on(f"{deployment.url}/v2/models/mnist/infer", 48, body, headers) as statuses:
            _until(lambda: len(_replicas()) == 2)
            time.sleep(2)
        return {"before": before, "statuses": statuses}


def _replicas() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if "ServeReplica" in each.name()]


def _nodes_of_replicas() -> list[str]:
    from ray.util.state import list_actors

    found = list_actors(filters=[("state", "=", "ALIVE")])
    return sorted(each.node_id for each in found if each.class_name.startswith("ServeReplica"))


def _drain(address: str, node: str) -> None:
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", address, "--node-id", node]
    why = [
        "--reason",
        "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message",
        "drill",
        "--deadline-remaining-seconds",
        "60",
    ]
    ended = subprocess.run([*command, *why], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@contextmanager
def _load_on(url: str, clients: int, body: bytes, headers: dict[str, str] | None = None) -> Iterator[Counter[str]]:
    """Counts of the answers' statuses, and of what broke, from so many clients at once."""
    statuses, stop = Counter[str](), threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=30) as client:
            while not stop.is_set():
                try:
                    answer = client.post(url, content=body, headers=headers)
                    statuses[str(answer.status_code)] += 1
                except httpx.HTTPError as error:
                    statuses[repr(error)] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _until(what: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.3)


if __name__ == "__main__":
    try:
        main()
    finally:
        ray.shutdown()
