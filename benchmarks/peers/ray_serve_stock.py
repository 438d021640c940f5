"""A contender of benchmarks/serving_peers.py: Ray Serve as its documentation shows it, with `@serve.batch`.

Everything has its default, except that a deployment takes 128 requests at once: its default of 5 would never fill a
batch.
"""

from __future__ import annotations

import logging
import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers.network import MAX_BATCH, answer, load, pixels_of, port, workers


@serve.deployment(max_ongoing_requests=128)
class Digits:
    """Answers raw pixels."""

    def __init__(self) -> None:
        self.predict = load()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]  # no types
    async def classify(self, bodies: list[bytes]) -> list[dict[str, Any]]:
        return [answer(row) for row in self.predict(pixels_of(b"".join(bodies)))]

    async def __call__(self, request: Request) -> dict[str, Any]:
        answered: dict[str, Any] = await self.classify(await request.body())
        return answered


def main() -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    count = workers()
    ray.init(num_cpus=max(2, count), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        serve.start(http_options={"port": port()})
        serve.run(Digits.options(num_replicas=count).bind())  # type: ignore[attr-defined]  # Ray has no types
        signal.pause()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
