"""A contender of benchmarks/serving_peers.py: MLServer with a custom runtime and adaptive batching.

Over HTTP it takes the protocol's JSON only. One worker runs inside the server's own process, which is faster.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from mlserver import MLModel  # type: ignore[import-not-found]  # in an environment of its own
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]

from benchmarks.peers.network import MAX_BATCH, SPARE_PORT, load, port, workers


class Digits(MLModel):  # type: ignore[misc]  # the same
    """Answers pixels [N, 1, 28, 28]."""

    async def load(self) -> bool:
        self.classify = load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        pixels = NumpyCodec.decode_input(payload.inputs[0]).astype(np.uint8)
        output = NumpyCodec.encode_output("probabilities", self.classify(pixels))
        return InferenceResponse(model_name=self.name, outputs=[output])


def main() -> None:
    """Write the settings that its command reads into the working folder, and become that command."""
    server = {
        "host": "127.0.0.1",
        "http_port": port(),
        "grpc_port": int(os.environ[SPARE_PORT]),
        "parallel_workers": workers() if workers() > 1 else 0,
        "debug": False,
        "metrics_endpoint": None,
        "gzip_enabled": False,
    }
    model = {
        "name": "digits",
        "implementation": "benchmarks.peers.mlserver_server.Digits",
        "max_batch_size": MAX_BATCH,
        "max_batch_time": 0.001,
    }
    Path("settings.json").write_text(json.dumps(server))
    Path("model-settings.json").write_text(json.dumps(model))
    program = str(Path(sys.executable).with_name("mlserver"))
    os.execv(program, [program, "start", "."])  # noqa: S606


if __name__ == "__main__":
    main()
