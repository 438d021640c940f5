"""The machines that a study runs on, as Ray sees them now, and whether one is really there."""

from __future__ import annotations

import socket

import ray
from ray._private.state import available_resources_per_node

from raytune_app.tuning.waiting import Node

KNOCK_S = 2.0


def machines() -> list[Node]:
    """Every living node: what it has, and what is free of it."""
    free = available_resources_per_node()
    return [
        Node(node["NodeManagerHostname"], node["NodeManagerAddress"], *map(_counted, (node["Resources"], left)))
        for node in ray.nodes()
        if node["Alive"]
        for left in [free.get(node["NodeID"], {})]
    ]


def hosts() -> set[str]:
    """The names of the machines of the cluster."""
    return {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}


def is_node_lost(address: str | None) -> bool:
    """Whether the node at this address is gone, though Ray may need half a minute more to say so.

    Args:
        address: as Ray knows it; None if a trial had not said yet where it is: then whether any node is.
    """
    nodes = [node for node in ray.nodes() if address in (None, node["NodeManagerAddress"])]
    alive = [node for node in nodes if node["Alive"]]
    if address is not None and nodes and not alive:
        return True
    return not all(_answers(node["NodeManagerAddress"], node["NodeManagerPort"]) for node in alive)


def _answers(host: str, port: int) -> bool:
    """Whether something listens there: Ray's own process of the node."""
    try:
        with socket.create_connection((host, port), timeout=KNOCK_S):
            return True
    except OSError:
        return False


def _counted(resources: dict[str, float]) -> dict[str, float]:
    """Without the resources that Ray itself names after each node and accelerator."""
    return {name: float(amount) for name, amount in resources.items() if ":" not in name}
