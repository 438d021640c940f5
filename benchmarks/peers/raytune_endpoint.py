"""A contender of benchmarks/serving_peers.py: this product's endpoint; a worker is a replica of one CPU."""

from __future__ import annotations

import os
import signal
import sys

from benchmarks.peers.network import port, workers
from raytune_app.cluster import connect
from raytune_app.endpoint.deployment import deploy

STORAGE, NAME = "PEER_STORAGE", "bench"


def main() -> None:
    """Serve version 1 of the model in the storage until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    count = workers()
    with (
        connect(cpus=max(2, count)) as cluster,
        deploy(cluster, {NAME: 1}, os.environ[STORAGE], port=port(), replicas=count),
    ):
        signal.pause()


if __name__ == "__main__":
    main()
