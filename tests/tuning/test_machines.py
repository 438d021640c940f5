"""Whether a trial's process died alone, or its machine with it."""

import socket
from typing import Any

import pytest
import ray

from raytune_app.tuning.machines import is_node_lost


def _node(address: str, port: int, *, alive: bool = True) -> dict[str, Any]:
    return {"NodeManagerAddress": address, "NodeManagerPort": port, "Alive": alive}


def test_a_node_that_answers_is_there_and_one_that_does_not_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nodes = [_node("127.0.0.1", there.getsockname()[1]), _node("10.0.0.9", 1, alive=False)]
        monkeypatch.setattr(ray, "nodes", lambda: nodes)
        assert not is_node_lost("127.0.0.1")
        assert not is_node_lost(None), "one that was lost before is no news"
        assert is_node_lost("10.0.0.9")
        nodes.append(_node("127.0.0.1", closed.getsockname()[1]))
        assert is_node_lost(None)
