"""What an autoscaler may still start: trials may be meant for nodes that are not there yet.

Ray's autoscaler keeps its limits to itself, so they are read where they are written down: in the file that `ray up`
leaves on the head, or in RAYTUNE_GROWTH, which whoever starts the head may set there:

    RAYTUNE_GROWTH='[{"count": 4, "resources": {"CPU": 4, "GPU": 1}, "labels": {}}]'
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from raytune_app.errors import InputError

VARIABLE = "RAYTUNE_GROWTH"
LAUNCHED = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster's file on its head."""


@dataclass(frozen=True, slots=True)
class NodeType:
    """A kind of worker: how many there may be, and what each has, by Ray's names."""

    count: int
    resources: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)


def node_types(environment: Mapping[str, str] = os.environ, launched: Path = LAUNCHED) -> list[NodeType]:
    """The workers that may be started on this cluster; empty where nothing says so.

    Raises InputError if what is written down cannot be understood.
    """
    try:
        if declared := environment.get(VARIABLE):
            return [_declared(each) for each in json.loads(declared)]
        file = launched.expanduser()
        return _launched(yaml.safe_load(file.read_text(encoding="utf-8"))) if file.exists() else []
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        where = VARIABLE if environment.get(VARIABLE) else str(launched)
        raise InputError(f"{where} does not say which nodes may be started: {error}", "mend or remove it") from error


def to_come(types: list[NodeType], workers: int) -> list[NodeType]:
    """What may still be started beside so many living workers: of the most generous assignment to types.

    Which type a living worker has Ray does not tell; it is taken for one of the type there are most of.
    """
    left = [(each.count, each) for each in types]
    for _ in range(workers):
        left.sort(key=lambda pair: pair[0])
        if not left or left[-1][0] == 0:
            return []
        count, each = left.pop()
        left.append((count - 1, each))
    return [NodeType(count, each.resources, each.labels) for count, each in left if count]


def _declared(content: Mapping[str, Any]) -> NodeType:
    resources = {str(name): float(amount) for name, amount in content["resources"].items()}
    return NodeType(int(content["count"]), resources, dict(content.get("labels", {})))


def _launched(content: Mapping[str, Any]) -> list[NodeType]:
    most = int(content.get("max_workers", 2))
    return [
        NodeType(
            min(most, int(each.get("max_workers", each.get("min_workers", 0)))),
            {name: float(amount) for name, amount in each.get("resources", {}).items()},
            dict(each.get("labels", {})),
        )
        for name, each in content.get("available_node_types", {}).items()
        if name != content.get("head_node_type")
    ]
