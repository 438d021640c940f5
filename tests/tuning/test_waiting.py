import pytest

from raytune_app.tuning.waiting import Node, why

IDLE = Node("anna", "10.0.0.1", {"CPU": 4.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 1.0})
FULL = Node("ben", "10.0.0.2", {"CPU": 4.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 0.2})
BARE = Node("carl", "10.0.0.3", {"CPU": 8.0}, {"CPU": 8.0})


@pytest.mark.parametrize(
    ("asked", "nodes", "told"),
    [
        ({"CPU": 1.0, "GPU": 0.25}, [FULL, BARE], "needs 1 CPU and 0.25 GPU: ben has 0.2 of 1 GPU free"),
        ({"CPU": 2.0, "GPU": 0.25}, [FULL], "needs 2 CPU and 0.25 GPU: ben has 1 of 4 CPU, 0.2 of 1 GPU free"),
        ({"CPU": 1.0, "GPU": 0.25}, [FULL, IDLE], "1 CPU and 0.25 GPU is free; its process is starting"),
        ({"GPU": 2.0}, [FULL, IDLE], "no node that is there has 2 GPU; it waits for one that has"),
        ({"memory": 2.0**20 * 512}, [], "no node that is there has 512 MB of memory; it waits for one that has"),
        (
            {"GPU": 0.5},
            [FULL] * 5,
            "needs 0.5 GPU: " + "; ".join(["ben has 0.2 of 1 GPU free"] * 3) + "; and 2 nodes more",
        ),
    ],
)
def test_who_waits_is_told_why(asked: dict[str, float], nodes: list[Node], told: str) -> None:
    assert why(asked, nodes) == told
