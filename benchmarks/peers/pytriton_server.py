"""A contender of benchmarks/serving_peers.py: PyTriton, which puts NVIDIA's Triton before Python functions."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch  # type: ignore[import-not-found]  # in an environment of its own
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor  # type: ignore[import-not-found]
from pytriton.triton import Triton, TritonConfig  # type: ignore[import-not-found]

from benchmarks.peers.network import CLASSES, MAX_BATCH, SIDE, SPARE_PORT, load, port, workers


class Digits:
    """Answers pixels [N, 1, 28, 28]; one for each worker, which is a thread behind Triton's process."""

    def __init__(self) -> None:
        self.predict = load()

    @batch  # type: ignore[untyped-decorator]  # the same
    def __call__(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return {"probabilities": self.predict(pixels.copy())}


def main() -> None:
    """Serve until SIGTERM, HTTP only."""
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=port(),
        allow_grpc=False,
        grpc_port=int(os.environ[SPARE_PORT]),
        allow_metrics=False,
        exit_timeout_secs=5,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="digits",
            infer_func=[Digits() for _ in range(workers())],
            inputs=[Tensor(name="pixels", dtype=np.uint8, shape=(1, SIDE, SIDE))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(CLASSES,))],
            config=ModelConfig(max_batch_size=MAX_BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


if __name__ == "__main__":
    main()
