"""A contender of benchmarks/serving_peers.py: LitServe with batches and its ZeroMQ queue.

FastAPI reads the body for it, which leaves raw bytes alone only when told so by the annotation.
"""

# no `from __future__ import annotations`: LitServe hands FastAPI the annotation itself
from typing import Annotated, Any

import litserve as ls  # type: ignore[import-not-found]  # in an environment of its own
import numpy as np
from fastapi import Body
from numpy.typing import NDArray

from benchmarks.peers.network import MAX_BATCH, answer, load, pixels_of, port, workers

Pixels = NDArray[np.uint8]


class Digits(ls.LitAPI):  # type: ignore[misc]  # the same
    """Answers raw pixels."""

    def setup(self, device: str) -> None:
        self.classify = load()

    def decode_request(self, request: Annotated[bytes, Body()]) -> Pixels:
        return pixels_of(request)

    def batch(self, inputs: list[Pixels]) -> Pixels:
        return np.concatenate(inputs)

    def predict(self, x: Pixels) -> NDArray[np.float32]:
        return self.classify(x)

    def unbatch(self, output: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return list(output)

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, Any]:
        return answer(output)


if __name__ == "__main__":
    api = Digits(max_batch_size=MAX_BATCH)  # by default it takes what waits, and waits for no more
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=workers(), fast_queue=True)
    server.run(host="127.0.0.1", port=port(), log_level="error", generate_client_file=False)
