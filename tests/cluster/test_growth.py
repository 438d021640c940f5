"""Nodes that an autoscaler may still start count as room."""

from pathlib import Path

import pytest
import yaml

from raytune_app.cluster.growth import NodeType, node_types, to_come
from raytune_app.errors import InputError

ROOT = Path(__file__).parents[2]


def test_what_may_be_started_is_read_from_the_file_that_launched_the_cluster(tmp_path: Path) -> None:
    launched = tmp_path / "bootstrap.yaml"
    launched.write_text((ROOT / "cluster.yaml").read_text())
    content = yaml.safe_load(launched.read_text())
    types = node_types({}, launched)
    assert types == [
        NodeType(each["max_workers"], {name: float(amount) for name, amount in each["resources"].items()})
        for name, each in content["available_node_types"].items()
        if name != content["head_node_type"]
    ]
    assert any("GPU" in each.resources for each in types)
    assert node_types({}, tmp_path / "none") == []


def test_whoever_starts_the_head_may_say_it(tmp_path: Path) -> None:
    text = '[{"count": 3, "resources": {"CPU": 4, "GPU": 1}, "labels": {"zone": "a"}}]'
    assert node_types({"RAYTUNE_GROWTH": text}, tmp_path) == [NodeType(3, {"CPU": 4.0, "GPU": 1.0}, {"zone": "a"})]
    for wrong in ("many", '[{"count": 3}]', "3"):
        with pytest.raises(InputError, match="RAYTUNE_GROWTH does not say"):
            node_types({"RAYTUNE_GROWTH": wrong}, tmp_path)


def test_living_workers_are_no_longer_to_come() -> None:
    big, small = NodeType(3, {"GPU": 1.0}), NodeType(1, {"CPU": 2.0})
    assert sum(each.count for each in to_come([big, small], 0)) == 4
    assert sum(each.count for each in to_come([big, small], 3)) == 1
    assert to_come([big, small], 9) == []
    assert to_come([], 2) == []
