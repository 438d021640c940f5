"""A contender of benchmarks/serving_peers.py: Mosec, a front in Rust, its workers beside it.

Its shortest wait for a batch is one millisecond; 0 would mean its default of ten.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from mosec import Server, Worker  # type: ignore[import-not-found]  # in an environment of its own
from numpy.typing import NDArray

from benchmarks.peers.network import MAX_BATCH, answer, load, pixels_of, port, workers


class Digits(Worker):  # type: ignore[misc]  # the same
    """Answers raw pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = load()

    def deserialize(self, data: bytes) -> NDArray[np.uint8]:
        return pixels_of(data)

    def forward(self, data: list[NDArray[np.uint8]]) -> list[dict[str, Any]]:
        return [answer(row) for row in self.predict(np.concatenate(data))]

    def serialize(self, data: dict[str, Any]) -> bytes:
        return json.dumps(data).encode()


if __name__ == "__main__":
    sys.argv[1:] = ["--address", "127.0.0.1", "--port", str(port()), "--log-level", "error"]
    server = Server()
    server.append_worker(Digits, num=workers(), max_batch_size=MAX_BATCH, max_wait_time=1)
    server.run()
