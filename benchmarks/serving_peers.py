"""The endpoint beside other servers of models: the same network, pictures and client for all of them.

    python benchmarks/serving_peers.py [--rounds 3] [--seconds 5] [--only raytune mosec] [--json FILE]

One MNIST-sized picture a request, as 784 raw bytes where the server takes them; `tutorial_cnn` with random weights, one
torch thread a worker, batches of up to 64 where the server makes them. `peers/` has the servers, each as its own
documentation would write it, in an environment of its own that uv makes under --environments. Each is started alone,
its answers, also to many at once, are compared with torch's, and then it is loaded

    closed     by wrk over 1, 8 and 64 connections, each asking again as soon as it is answered
    open       at fixed rates over 64 connections, latency counted from when a request was due; answers compared
    batched    by wrk over 4 connections, 64 pictures a request, where the server's protocol has that

and weighed. With more than one worker: closed, 64 connections. The order turns with the round. A server that cannot be
installed, started or loaded is in the table with its reason. Client and server share the machine: compare, and do not
take the numbers for those of a server of its own.

Claims: over one connection p50 within 1.5 times bare FastAPI's and p99 under 2 ms; over 64 connections more requests a
second than each peer but Mosec, with one worker and with two.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peers import result  # noqa: E402  # after the path is set
from benchmarks.peers.contenders import CONTENDERS, Contender  # noqa: E402
from benchmarks.peers.dialects import DIALECTS, Dialect, Pictures, Probabilities  # noqa: E402
from benchmarks.peers.environments import COMMON, PeerError, environment, installed, system_python  # noqa: E402
from benchmarks.peers.open_loop import DRAIN_S, TOLERANCE  # noqa: E402
from benchmarks.peers.processes import Server  # noqa: E402
from benchmarks.serving_speed import LoadError, host, load, random_pictures, register  # noqa: E402
from raytune_app.endpoint.fastpath import free_ports  # noqa: E402

CONNECTIONS, BUSY = (1, 8, 64), 64
BATCH, BATCH_CONNECTIONS = 64, 4
CHECKED, AT_ONCE = 50, 16
"""Pictures whose answers are compared before a load, and how many of them are asked about at once."""
WARM_S = 2
ANSWER_S = 10.0
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bench:
    """What every server is given: a folder with the weights, pictures, and what torch says of them."""

    args: argparse.Namespace
    folder: Path
    pictures: Pictures
    expected: Probabilities

    @property
    def samples(self) -> Path:
        return self.folder / "samples.npz"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.npz"


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    contender: Contender
    workers: int
    url: str
    server: Server

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.contender.dialect]


def main() -> int:
    """Measure, print, and return 1 if a claim does not hold."""
    args = _arguments()
    if shutil.which("wrk") is None:
        print("wrk is not installed; on Debian: apt-get install wrk", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the servers are ended too
    args.environments.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="raytune-peers-", ignore_cleanup_errors=True) as folder:
        bench = _prepare(args, Path(folder))
        pythons, versions, rows = _environments(args)
        if not args.install:
            rows += [row for number in range(args.rounds) for row in _round(bench, pythons, number)]
    report = {
        "host": host(),
        "versions": versions,
        "settings": {key: str(value) for key, value in vars(args).items()},
        "rows": rows,
        "summary": result.summary(rows),
    }
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2))
    return result.show(report)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--rates", type=float, nargs="*", default=[200, 1000, 2000], help="of the open loop, requests/s"
    )
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    place = Path(tempfile.gettempdir(), "raytune-serving-peers")
    parser.add_argument("--environments", type=Path, default=place, help="kept and used again; default: %(default)s")
    parser.add_argument("--install", action="store_true", help="make the environments and do nothing else")
    parser.add_argument("--json", metavar="FILE", help="write every number there")
    return parser.parse_args()


def _prepare(args: argparse.Namespace, folder: Path) -> Bench:
    """The model as a registered version and as arrays for the peers, and torch's answers by the former."""
    from safetensors.numpy import load as load_arrays

    from raytune_app.manifest import WEIGHTS
    from raytune_app.registry import Registry
    from raytune_app.storage import Storage
    from serving.versions.predictor import Predictor

    register(str(folder))
    signature: dict[str, Any] = {"mean": 0.13, "std": 0.31}
    arrays = load_arrays(Registry(Storage(str(folder))).find("bench@1").read()[WEIGHTS])
    own = {name.removeprefix("network."): value for name, value in arrays.items() if name.startswith("network.")}
    pictures = random_pictures(CHECKED)
    bench = Bench(args, folder, pictures, Predictor.load(str(folder), "bench", 1).predict(pictures))
    np.savez(bench.weights, allow_pickle=False, **own, **signature)
    np.savez(bench.samples, allow_pickle=False, pictures=pictures, probabilities=bench.expected)
    return bench


def _environments(args: argparse.Namespace) -> tuple[dict[str, Path], dict[str, str], list[Row]]:
    """The interpreter and the versions of each contender, and a row for each that has none."""
    pythons, versions, rows = dict[str, Path](), dict[str, str](), list[Row]()
    torch = COMMON[0].partition("=")[0]
    for name in args.only:
        each = CONTENDERS[name]
        try:
            made_with = system_python() if each.system_python else sys.executable
            place = name.replace(" ", "-")
            own = Path(sys.executable)
            python = environment(args.environments, place, each.requirements, made_with) if each.requirements else own
            versions[name] = installed(python, [*each.shown, torch, "numpy"])
            pythons[name] = python
        except PeerError as error:
            rows.append({"server": name, "workers": 0, "load": "install", "error": str(error)})
    return pythons, versions, rows


def _round(bench: Bench, pythons: dict[str, Path], number: int) -> Iterator[Row]:
    names = [name for name in bench.args.only if name in pythons]
    turn = number % max(1, len(names))
    for name in names[turn:] + names[:turn]:
        for workers in bench.args.workers:
            for row in _measure(bench, CONTENDERS[name], pythons[name], workers):
                complete = {"server": name, "workers": workers, "round": number, **row}
                print(result.line(complete), file=sys.stderr)
                yield complete


def _measure(bench: Bench, contender: Contender, python: Path, workers: int) -> Iterator[Row]:
    """Every load of one server that is started for it, or what went wrong."""
    port, spare = free_ports(2)
    environment = {
        "PYTHONPATH": str(ROOT),
        "PEER_WEIGHTS": str(bench.weights),
        "PEER_STORAGE": str(bench.folder),
        "PEER_PORT": str(port),
        "PEER_SPARE_PORT": str(spare),
        "PEER_WORKERS": str(workers),
    }
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    command = [str(python), "-m", f"benchmarks.peers.{contender.module}"]
    stage, start = "start", time.monotonic()
    try:
        with Server(command, folder, environment) as server:
            running = Running(contender, workers, f"http://127.0.0.1:{port}", server)
            server.wait(lambda: _lack(running, bench))
            yield {"load": stage, "seconds": time.monotonic() - start}
            stage = "check"
            _check(running, bench)
            yield from _loads(bench, running)
            yield {"load": "memory", **server.memory()}
    except PeerError as error:
        yield {"load": stage, "error": str(error)}


def _loads(bench: Bench, running: Running) -> Iterator[Row]:
    alone = running.workers == 1
    for connections in CONNECTIONS if alone else (BUSY,):
        yield _guarded(f"closed {connections}", partial(_closed, bench, running, connections))
    for rate in bench.args.rates if alone else ():
        yield _guarded(f"open {rate:g}", partial(_open, bench, running, rate))
    if alone and running.dialect.many:
        yield _guarded("batched", partial(_closed, bench, running, BATCH_CONNECTIONS, BATCH))


def _guarded(name: str, measure: Callable[[], Row]) -> Row:
    try:
        return {"load": name, **measure()}
    except (LoadError, PeerError, subprocess.SubprocessError, httpx.HTTPError) as error:
        return {"load": name, "error": " ".join(str(error).split())[-400:]}


def _closed(bench: Bench, running: Running, connections: int, pictures: int = 1) -> Row:
    question = running.dialect.ask(random_pictures(pictures))
    post = partial(load, running.url + question.path, connections, body=question.body, headers=question.headers)
    post(min(WARM_S, bench.args.seconds))
    numbers = post(bench.args.seconds)
    return {"payload": question.payload, "images_per_s": numbers["requests_per_s"] * pictures, **numbers}


def _open(bench: Bench, running: Running, rate: float) -> Row:
    command = [sys.executable, "-m", "benchmarks.peers.open_loop", running.url, running.contender.dialect]
    options = [str(bench.samples), "--rate", str(rate), "--seconds", str(bench.args.seconds)]
    done = subprocess.run(  # noqa: S603  # ourselves
        [*command, *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=bench.args.seconds + DRAIN_S + 60,
    )
    if done.returncode:
        raise PeerError(done.stderr[-400:])
    numbers: Row = json.loads(done.stdout)
    if numbers["wrong"]:
        raise PeerError(f"{numbers['wrong']} of {numbers['checked']} answers under load are not torch's")
    return numbers


def _lack(running: Running, bench: Bench) -> str | None:
    """Why it cannot be measured yet; None when it answers."""
    question = running.dialect.ask(bench.pictures[:1])
    try:
        with httpx.Client(trust_env=False, timeout=5) as client:
            answer = client.post(running.url + question.path, content=question.body, headers=question.headers)
    except httpx.HTTPError as error:
        return f"{question.path}: {error!r}"
    return None if answer.is_success else f"{question.path} answered {answer.status_code}: {answer.text[:200]}"


def _check(running: Running, bench: Bench) -> None:
    """Each answer must be torch's own: one by one, many at once, many in one. Raises PeerError."""
    with httpx.Client(trust_env=False, timeout=ANSWER_S) as client, ThreadPoolExecutor(AT_ONCE) as pool:

        def ask(first: int, count: int = 1) -> None:
            part = slice(first, first + count)
            question = running.dialect.ask(bench.pictures[part])
            answer = client.post(running.url + question.path, content=question.body, headers=question.headers)
            if not answer.is_success:
                raise PeerError(f"{question.path} answered {answer.status_code}: {answer.text[:200]}")
            try:
                given = running.dialect.read(answer.content, count)
            except (ValueError, LookupError, TypeError) as error:
                raise PeerError(f"an answer cannot be read: {answer.content[:200]!r}") from error
            if not np.allclose(given, bench.expected[part], atol=TOLERANCE):
                raise PeerError(f"an answer is not torch's: {given[0]} instead of {bench.expected[first]}")

        try:
            for first in range(3):
                ask(first)
            list(pool.map(ask, range(CHECKED)))
            if running.dialect.many:
                ask(0, CHECKED)
        except httpx.HTTPError as error:
            raise PeerError(f"no answer while it was checked: {error!r}") from error


if __name__ == "__main__":
    sys.exit(main())
