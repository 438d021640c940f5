"""A contender of benchmarks/serving_peers.py: BentoML with adaptive batching.

Only numbers can be batched, and without pickle they come as JSON; bytes go one by one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bentoml  # type: ignore[import-not-found]  # in an environment of its own
import numpy as np

from benchmarks.peers.network import MAX_BATCH, load, port, workers


@bentoml.service(workers=workers(), traffic={"timeout": 30}, logging={"access": {"enabled": False}})
class Digits:
    """Answers lists of pixels."""

    def __init__(self) -> None:
        self.predict = load()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=1000)  # type: ignore[untyped-decorator]  # no types
    def classify(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels [N, 784] to probabilities [N, 10]."""
        return self.predict(pixels.astype(np.uint8).reshape(-1, 1, 28, 28))


if __name__ == "__main__":
    program = str(Path(sys.executable).with_name("bentoml"))
    place = "benchmarks.peers.bentoml_server:Digits"
    os.execv(program, [program, "serve", place, "--host", "127.0.0.1", "--port", str(port()), "-q"])  # noqa: S606
