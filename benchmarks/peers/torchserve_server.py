"""A contender of benchmarks/serving_peers.py: TorchServe, a front in Java, its workers beside it; needs `java`.

This module is the model's handler too: TorchServe calls `handle` in each worker.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.network import MAX_BATCH, SPARE_PORT, Predict, answer, load, pixels_of, port, workers

_model = dict[str, Predict]()
_QUIET = """<Configuration status="off"><Loggers><Root level="off"/></Loggers></Configuration>"""
"""Its loggers write several lines a request otherwise."""


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[dict[str, Any]] | None:
    """A batch of bodies, each one picture as raw bytes; None when it is only to get ready."""
    if "predict" not in _model:
        _model["predict"] = load()
    if data is None:
        return None
    return [answer(row) for row in _model["predict"](pixels_of(b"".join(each["body"] for each in data)))]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Pack the model and write the settings into the working folder, and become the server's command."""
    place = f"http://127.0.0.1:{port()}"
    model = {
        "minWorkers": workers(),
        "maxWorkers": workers(),
        "batchSize": MAX_BATCH,
        "maxBatchDelay": 1,
        "defaultVersion": True,
        "marName": "digits.mar",
        "responseTimeout": 60,
    }
    settings = {
        "inference_address": place,
        "management_address": place,
        "metrics_address": f"http://127.0.0.1:{_free_port()}",
        "grpc_inference_port": os.environ[SPARE_PORT],
        "grpc_management_port": str(_free_port()),
        "disable_system_metrics": "true",
        "load_models": "digits.mar",
        "models": json.dumps({"digits": {"1.0": model}}),
    }
    Path("config.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    Path("log4j2.xml").write_text(_QUIET)
    programs = Path(sys.executable).parent
    packing = ["--model-name", "digits", "--version", "1.0", "--handler", __file__, "--export-path", "."]
    subprocess.run([str(programs / "torch-model-archiver"), *packing], check=True)  # noqa: S603
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"  # it starts `python`
    command = [str(programs / "torchserve"), "--start", "--foreground", "--ncs", "--disable-token-auth"]
    options = ["--model-store", ".", "--ts-config", "config.properties", "--log-config", "log4j2.xml"]
    os.execv(command[0], command + options)  # noqa: S606


if __name__ == "__main__":
    main()
