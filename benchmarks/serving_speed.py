"""How fast the endpoint is, beside stock Ray Serve and a bare FastAPI server with the same model.

    python benchmarks/serving_speed.py [--rounds 3] [--seconds 5] [--json FILE]

One MNIST-sized picture a request as 784 raw bytes, `tutorial_cnn` with random weights, one torch thread, one worker.
Each round starts each server alone in a process of its own, checks its answers against torch, and loads it with wrk
over 1 and over 64 connections; the order turns with the round. Claims: at 64 connections at least 6 times stock Ray
Serve's requests per second, and a median under 1 ms over one connection.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PATHS = {"endpoint": "/v2/models/bench/classify", "stock_serve": "/", "bare_fastapi": "/"}
CONNECTIONS = (1, 64)
START_DEADLINE_S = 180
STOP_DEADLINE_S = 60
CHECKED = 50
"""Pictures whose answers are compared with torch's before each load."""
MIN_RATIO, MAX_P50_MS = 6.0, 1.0
OCTETS = {"Content-Type": "application/octet-stream"}
ANSWER_DEADLINE_S = 10
Numbers = dict[str, float]


class LoadError(SystemExit):
    """A server failed under load; if nobody catches it, that ends the benchmark."""


def main() -> int:
    """Measure, print, and return 1 if a claim does not hold."""
    args = _arguments()
    if args.server:
        return {"endpoint": _run_endpoint, "stock_serve": _run_stock, "bare_fastapi": _run_bare}[args.server](args)
    if shutil.which("wrk") is None:
        print("wrk is not installed; on Debian: apt-get install wrk", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="raytune-bench-") as folder:
        register(folder)
        rows = [row for number in range(args.rounds) for row in _round(args, folder, number)]
    report = {"host": host(), "rounds": args.rounds, "seconds": args.seconds, "rows": rows, "summary": _summary(rows)}
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2))
    return _print(report)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--port", type=int, default=18050)
    parser.add_argument("--json", metavar="FILE", help="write every number there")
    parser.add_argument("--only", choices=PATHS, help="one server, to try an idea")
    parser.add_argument("--server", choices=PATHS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


# --- the three servers -------------------------------------------------------------------------------------------


def _run_endpoint(args: argparse.Namespace) -> int:
    from raytune_app.cluster import connect
    from raytune_app.endpoint.deployment import deploy

    _exit_on_sigterm()
    with connect(cpus=2) as cluster, deploy(cluster, {"bench": 1}, args.folder, port=args.port):
        signal.pause()
    return 0


def _run_stock(args: argparse.Namespace) -> int:
    import logging

    import ray
    from ray import serve

    _exit_on_sigterm()
    os.environ["PYTHONPATH"] = str(ROOT)
    ray.init(num_cpus=2, log_to_driver=False, logging_level=logging.ERROR)
    try:
        serve.start(http_options={"port": args.port})
        serve.run(_stock_application(args.folder))
        signal.pause()
    finally:
        serve.shutdown()
        ray.shutdown()
    return 0


def _stock_application(folder: str) -> Any:
    """Ray Serve as its documentation shows it: defaults, and `@serve.batch` with a wait of 2 ms."""
    from ray import serve

    @serve.deployment(max_ongoing_requests=128)  # the default of 5 would never fill a batch
    class Stock:
        def __init__(self) -> None:
            self.predictor = _predictor(folder)

        @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]  # Ray has no types
        async def predict(self, bodies: list[bytes]) -> list[dict[str, Any]]:
            return [_answer(row) for row in self.predictor.predict(_pixels(bodies))]

        async def __call__(self, request: Request) -> dict[str, Any]:
            answer: dict[str, Any] = await self.predict(await request.body())
            return answer

    return Stock.bind()  # type: ignore[attr-defined]  # the same


def _run_bare(args: argparse.Namespace) -> int:
    import uvicorn
    from fastapi import FastAPI

    app, predictor = FastAPI(), _predictor(args.folder)

    @app.post("/")
    async def classify(request: Request) -> dict[str, Any]:
        return _answer(predictor.predict(_pixels([await request.body()]))[0])

    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="error")
    return 0


def _predictor(folder: str) -> Any:
    import torch

    from serving.versions.predictor import Predictor

    torch.set_num_threads(1)
    return Predictor.load(folder, "bench", 1)


def _pixels(bodies: list[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(bodies), np.uint8).reshape(-1, 1, 28, 28)


def _answer(probabilities: NDArray[np.float32]) -> dict[str, Any]:
    return {"index": int(probabilities.argmax()), "probabilities": probabilities.tolist()}


def _exit_on_sigterm() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


# --- the measurement ---------------------------------------------------------------------------------------------


def register(folder: str) -> None:
    """Version 1 of `bench`: a tutorial_cnn with random weights."""
    import torch
    from safetensors.numpy import save as save_arrays
    from safetensors.torch import save as save_tensors

    from raytune_app.models.catalog import build
    from raytune_app.models.graph import onnx_graph
    from raytune_app.models.picture_classifier import PictureClassifier
    from raytune_app.models.signature import PictureSignature
    from raytune_app.registry import Draft, Registry
    from raytune_app.spec.grammar import TutorialCnnSpec
    from raytune_app.storage import Storage
    from raytune_app.training.predict import predict

    signature = PictureSignature(1, 28, tuple("0123456789"), (0.13,), (0.31,))
    classifier = build(spec := TutorialCnnSpec(name="tutorial_cnn"), signature, seed=0)
    assert isinstance(classifier, PictureClassifier)
    inputs = random_pictures(16)
    golden: dict[str, Any] = {
        "inputs": inputs,
        "probabilities": predict(classifier, inputs, device=torch.device("cpu")),
    }
    model: dict[str, Any] = {"network": spec.model_dump(), "signature": signature.to_dict(), "inputs": [1, 28, 28]}
    model["golden_tolerance"] = 1e-4
    weights = save_tensors(dict(classifier.state_dict()))
    graph = onnx_graph(classifier, (1, 28, 28))  # as a study registers it
    draft = Draft(model, weights, save_arrays(golden), "# for the benchmark\n", graph)
    Registry(Storage(folder)).register("bench", draft)


def random_pictures(count: int) -> NDArray[np.uint8]:
    """The same for the same count: uint8 [count, 1, 28, 28]."""
    return np.random.default_rng(count).integers(0, 256, (count, 1, 28, 28), np.uint8)


def _round(args: argparse.Namespace, folder: str, number: int) -> Iterator[dict[str, Any]]:
    names = [args.only] if args.only else list(PATHS)
    turn = number % len(names)
    for name in names[turn:] + names[:turn]:
        url = f"http://127.0.0.1:{args.port}{PATHS[name]}"
        with _server(args, folder, name, url):
            for connections in CONNECTIONS:
                _check(url, folder)
                load(url, connections, 2)  # warm
                row = {
                    "server": name,
                    "round": number,
                    "connections": connections,
                    **load(url, connections, args.seconds),
                }
                print(f"round {number + 1}  {name:<13} c={connections:<3} {row['requests_per_s']:>8,.0f} req/s  "
                      f"p50 {row['p50_ms']:.2f} ms  p99 {row['p99_ms']:.2f} ms", file=sys.stderr)  # fmt: skip
                yield row


@contextmanager
def _server(args: argparse.Namespace, folder: str, name: str, url: str) -> Iterator[None]:
    command = [sys.executable, __file__, "--server", name, "--folder", folder, "--port", str(args.port)]
    log = Path(folder, f"{name}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT)  # noqa: S603  # ourselves
    try:
        _wait(process, url, log)
        yield
    finally:
        process.terminate()
        process.wait(STOP_DEADLINE_S)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.post(url, content=random_pictures(1).tobytes(), timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"the server did not start:\n{log.read_text()[-2000:]}")


def _check(url: str, folder: str) -> None:
    """Each answer must be torch's own."""
    pictures = random_pictures(CHECKED)
    expected = _predictor(folder).predict(pictures)
    with httpx.Client() as client:
        for picture, row in zip(pictures, expected, strict=True):
            answer = client.post(url, content=picture.tobytes(), headers=OCTETS).json()
            given = answer["probabilities"]
            values = list(given.values()) if isinstance(given, dict) else given
            if answer["index"] != row.argmax() or not np.allclose(values, row, atol=1e-5):
                raise SystemExit(f"{url} gave a wrong answer")


def load(url: str, connections: int, seconds: int, body: bytes = b"", headers: Mapping[str, str] = OCTETS) -> Numbers:
    """The numbers of wrk, which posts `body` (default: one picture) over so many connections.

    Raises:
        LoadError: an answer was not 2xx, or there was none.
    """
    with tempfile.TemporaryDirectory() as folder:
        script, file = Path(folder, "post.lua"), Path(folder, "body")
        file.write_bytes(body or random_pictures(1).tobytes())
        script.write_text(
            f'local file = io.open("{file}", "rb")\nwrk.method = "POST"\nwrk.body = file:read("*a")\n'
            + "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers.items())
        )
        wrk = [shutil.which("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency"]
        command = [*wrk, "--timeout", f"{ANSWER_DEADLINE_S}s", "-s", str(script), url]
        done = subprocess.run(  # noqa: S603  # wrk
            command, capture_output=True, text=True, check=False, timeout=seconds + 3 * ANSWER_DEADLINE_S
        )
    text = done.stdout
    if done.returncode or "Non-2xx" in text or "Socket errors" in text:
        raise LoadError(f"{url} failed under load:\n{text}{done.stderr}")
    return {
        "requests_per_s": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),  # type: ignore[index]  # wrk prints it
        "p50_ms": _milliseconds(text, "50%"),
        "p99_ms": _milliseconds(text, "99%"),
    }


def _milliseconds(text: str, share: str) -> float:
    number, unit = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]  # wrk prints it
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


# --- the result --------------------------------------------------------------------------------------------------


def _summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and spread over the rounds, of each server at each number of connections."""
    summary = []
    for name in PATHS:
        for connections in CONNECTIONS:
            found = [row for row in rows if row["server"] == name and row["connections"] == connections]
            if found:
                cell = {key: [row[key] for row in found] for key in ("requests_per_s", "p50_ms", "p99_ms")}
                summary.append({"server": name, "connections": connections, "n": len(found)} | {
                    key: {"mean": statistics.mean(values), "sd": statistics.stdev(values) if len(values) > 1 else 0.0}
                    for key, values in cell.items()
                })  # fmt: skip
    return summary


def _print(report: dict[str, Any]) -> int:
    print(f"{report['host']}; n = {report['rounds']} rounds of {report['seconds']} s; mean (standard deviation)")
    print(f"{'server':<13} {'connections':>11} {'req/s':>18} {'p50 ms':>16} {'p99 ms':>18}")
    for row in report["summary"]:
        cells = [
            mean_and_spread(row["requests_per_s"], 0),
            mean_and_spread(row["p50_ms"], 2),
            mean_and_spread(row["p99_ms"], 2),
        ]
        print(f"{row['server']:<13} {row['connections']:>11} {cells[0]:>18} {cells[1]:>16} {cells[2]:>18}")
    by_cell = {(row["server"], row["connections"]): row for row in report["summary"]}
    if ("stock_serve", 64) not in by_cell or ("endpoint", 64) not in by_cell:
        return 0
    ratio = by_cell["endpoint", 64]["requests_per_s"]["mean"] / by_cell["stock_serve", 64]["requests_per_s"]["mean"]
    p50_ms = by_cell["endpoint", 1]["p50_ms"]["mean"]
    print(f"at 64 connections {ratio:.1f} times stock Ray Serve (claim: at least {MIN_RATIO:.0f})")
    print(f"over one connection p50 {p50_ms:.2f} ms (claim: under {MAX_P50_MS:.0f})")
    return 0 if ratio >= MIN_RATIO and p50_ms < MAX_P50_MS else 1


def mean_and_spread(value: Numbers, digits: int) -> str:
    """`value["mean"]` and, in parentheses, `value["sd"]`."""
    return f"{value['mean']:,.{digits}f} ({value['sd']:,.{digits}f})"


def host() -> str:
    """The machine, and the versions that matter."""
    import ray
    import torch

    git = [shutil.which("git") or "git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()  # noqa: S603
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions = f"ray {ray.__version__}, torch {torch.__version__}, commit {commit}"
    return f"{os.cpu_count()} x {cpu}, shared with wrk; {versions}"


if __name__ == "__main__":
    sys.exit(main())
