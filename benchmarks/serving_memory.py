"""Whether a replica's memory grows with the requests it has answered: after 10,000 of them, and after 100,000.

    python benchmarks/serving_memory.py [--first 10000] [--last 100000] [--clients 4] [--json FILE]

One replica holds a model of pictures and one of texts. Several clients ask for both in every way there is, each request
with contents, a request id and a session of its own; over a third are bad in some way, with names that no request had
before; each answer must have its status. Weighed are the replica's private memory and its proportional set size, which
adds its share of what is shared, and so also moves when another process with torch comes or goes. Claim: both are equal
within 5 %.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import io
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peers.dialects import HEADER  # noqa: E402
from benchmarks.serving_speed import OCTETS, host, register  # noqa: E402  # after the path is set
from raytune_app.cluster import connect  # noqa: E402
from raytune_app.endpoint.deployment import deploy  # noqa: E402
from raytune_app.endpoint.fastpath import free_ports  # noqa: E402

MB = 1e6
STEPS = 10
"""Times it is weighed, the first and the last among them."""
SETTLE_S, READINGS, READING_S, ANSWER_S, DEADLINE_S = 3.0, 5, 0.5, 30.0, 3600.0
MAX_DIFFERENCE = 0.05
WORDS = tuple(f"word{number}" for number in range(2000))
JSON = {"Content-Type": "application/json"}
PICTURES, TEXTS = "/v2/models/bench", "/v2/models/tone"
TOLD = ("/v2/health/ready", "/v2", PICTURES, f"{TEXTS}/stats", "/v2/models/stats", "/metrics", "/v2/traffic", "/")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, and the status of its answer."""

    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    method: str = "POST"


Make = Callable[[int, np.random.Generator], Ask]


def main() -> int:
    """Ask, weigh, print, and return 1 if the claim does not hold."""
    args = _arguments()
    counts: list[int] = np.linspace(args.first, args.last, STEPS).astype(int).tolist()
    with tempfile.TemporaryDirectory(prefix="raytune-memory-") as folder, connect(cpus=2) as cluster:
        register(folder)
        _register_texts(folder)
        port = free_ports(1)[0]
        with deploy(cluster, {"bench": 1, "tone": 1}, folder, port=port) as deployment:
            replica = next(each for each in psutil.Process().children(recursive=True) if "ServeReplica" in each.name())
            rows = _measure(deployment.url, replica, counts, args.clients)
    report = {"host": host(), "rows": rows}
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2))
    return _print(report, args.first, args.last)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=10_000)
    parser.add_argument("--last", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--json", metavar="FILE", help="write every number there")
    return parser.parse_args()


def _measure(url: str, replica: psutil.Process, counts: list[int], clients: int) -> list[dict[str, Any]]:
    done, rows, deadline = 0, list[dict[str, Any]](), time.monotonic() + DEADLINE_S
    for count in counts:
        start, statuses = time.monotonic(), Counter[int]()
        with ThreadPoolExecutor(clients) as pool:
            parts = [pool.submit(_ask_all, url, range(done + i, count, clients), deadline) for i in range(clients)]
            for part in parts:
                statuses.update(part.result())
        seconds, done = time.monotonic() - start, count
        rows.append({"requests": count, "seconds": seconds, "statuses": dict(statuses), **_weigh(replica)})
        print(_line(rows[-1]), file=sys.stderr)
    return rows


def _weigh(process: psutil.Process) -> dict[str, float]:
    """Megabytes, when the last answers are out of the way."""
    time.sleep(SETTLE_S)
    readings = []
    for _ in range(READINGS):
        time.sleep(READING_S)
        readings.append(process.memory_full_info())
    return {f"{kind}_mb": statistics.median(getattr(each, kind) for each in readings) / MB for kind in ("pss", "uss")}


def _ask_all(url: str, numbers: range, deadline: float) -> Counter[int]:
    """Ask all these. Raises SystemExit for an answer of another status than expected, or when time is up."""
    parts, statuses = urlsplit(url), Counter[int]()
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
    for number in numbers:
        if _failures or time.monotonic() > deadline:
            raise SystemExit(_failures[0] if _failures else f"not done after {DEADLINE_S:.0f} s")
        ask = MIX[number % len(MIX)](number, np.random.default_rng(number))
        identity = {"x-request-id": f"request-{number}", "x-session-id": f"session-{number}"}
        status, content = _answer(connection, ask, {**identity, **ask.headers})
        if status != ask.status:
            _failures.append(f"{ask.method} {ask.path} answered {status}, not {ask.status}: {content[:300]!r}")
            raise SystemExit(_failures[0])
        statuses[status] += 1
    connection.close()
    return statuses


_failures = list[str]()
"""What went wrong for one client, so that the others stop too."""


def _answer(connection: http.client.HTTPConnection, ask: Ask, headers: dict[str, str]) -> tuple[int, bytes]:
    """Once more on a new connection if the server has closed this one meanwhile, as it may."""
    for last in (False, True):
        try:
            connection.request(ask.method, ask.path, ask.body or None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            connection.close()
            if last:
                raise
    raise AssertionError


def _pixels(rng: np.random.Generator, count: int = 1) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return rng.integers(0, 256, (count, 1, 28, 28), np.uint8)


def _sentence(rng: np.random.Generator) -> str:
    return " ".join([*rng.choice(WORDS, int(rng.integers(1, 60))), f"new{rng.integers(10**9)}"])


def _raw(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{PICTURES}/classify", _pixels(rng).tobytes(), OCTETS)


def _png(number: int, rng: np.random.Generator) -> Ask:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(_pixels(rng)[0, 0]).save(file, "png")
    return Ask(f"{PICTURES}/classify", file.getvalue(), {"Content-Type": "image/png"})


def _tensor(rng: np.random.Generator, **other: Any) -> dict[str, Any]:
    pixels = _pixels(rng)
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": pixels.shape, "data": pixels.ravel().tolist()}
    return {"inputs": [tensor | other]}


def _json(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{PICTURES}/infer", json.dumps(_tensor(rng) | {"id": f"id-{number}"}).encode(), JSON)


def _binary(number: int, rng: np.random.Generator) -> Ask:
    pixels = _pixels(rng, int(rng.integers(2, 64)))
    parameters = {"binary_data_size": pixels.nbytes}
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": pixels.shape, "parameters": parameters}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return Ask(f"{PICTURES}/infer", head + pixels.tobytes(), OCTETS | {HEADER: str(len(head))})


def _zipped(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{PICTURES}/classify", gzip.compress(_pixels(rng).tobytes()), OCTETS | {"Content-Encoding": "gzip"})


def _text(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{TEXTS}/classify", _sentence(rng).encode(), {"Content-Type": "text/plain"})


def _texts(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{TEXTS}/classify", json.dumps([_sentence(rng) for _ in range(8)]).encode(), JSON)


def _strings(number: int, rng: np.random.Generator) -> Ask:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [4], "data": [_sentence(rng) for _ in range(4)]}
    return Ask(f"{TEXTS}/infer", json.dumps({"inputs": [tensor]}).encode(), JSON)


def _feedback(number: int, rng: np.random.Generator) -> Ask:
    label = str(rng.integers(10))
    return Ask(f"{PICTURES}/feedback", json.dumps({"version": "1", "answered": label, "label": "3"}).encode(), JSON)


def _look(number: int, rng: np.random.Generator) -> Ask:
    return Ask(TOLD[number // len(MIX) % len(TOLD)], method="GET")


def _nobody(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"/v2/models/nobody-{number}/classify", _pixels(rng).tobytes(), OCTETS, 404)


def _no_version(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{PICTURES}/versions/{number + 2}/classify", _pixels(rng).tobytes(), OCTETS, 404)


def _no_path(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"/path-{number}?a={number}", status=404, method="GET")


def _wrong_size(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{PICTURES}/classify", bytes(int(rng.integers(1, 783))), OCTETS, 400)


def _wrong_shape(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{PICTURES}/infer", json.dumps(_tensor(rng, shape=[1, 1, 2, 2**40 + number])).encode(), JSON, 400)


def _no_json(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{TEXTS}/infer", b'{"inputs": [' + rng.bytes(2000), JSON, 400)


def _deep(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{TEXTS}/infer", b"[" * 20_000, JSON, 400)


def _media(number: int, rng: np.random.Generator) -> Ask:
    return Ask(f"{PICTURES}/classify", b"x", {"Content-Type": f"application/x-{number}"}, 415)


MIX: tuple[Make, ...] = (
    *(_raw, _text, _json, _texts, _binary, _nobody, _raw, _strings, _wrong_size, _png, _no_json, _zipped),
    *(_text, _feedback, _deep, _look, _wrong_shape, _raw, _no_version, _text, _media, _json, _no_path, _strings),
)


def _register_texts(folder: str) -> None:
    """Version 1 of `tone`: a text_bag with random weights."""
    from safetensors.numpy import save as save_arrays
    from safetensors.torch import save as save_tensors

    from raytune_app.data.tokens import TokenizerSettings, build_tokenizer
    from raytune_app.models.catalog import build
    from raytune_app.models.signature import TextSignature
    from raytune_app.registry import Draft, Registry
    from raytune_app.spec.grammar import TextBagSpec
    from raytune_app.storage import Storage

    texts = [" ".join(WORDS), "word1 word2"]
    signature = TextSignature(("bad", "good"), build_tokenizer(TokenizerSettings(), texts))
    classifier: Any = build(spec := TextBagSpec(name="text_bag"), signature, seed=0).eval()
    octets = [text.encode() for text in texts]
    golden = {
        "utf8": np.frombuffer(b"".join(octets), np.uint8),
        "offsets": np.cumsum([0, *map(len, octets)]).astype(np.int64),
        "probabilities": classifier.probabilities(texts),
    }
    model: dict[str, Any] = {"network": spec.model_dump(), "signature": signature.to_dict(), "golden_tolerance": 1e-4}
    draft = Draft(model, save_tensors(dict(classifier.state_dict())), save_arrays(golden), "# for the benchmark\n")
    Registry(Storage(folder)).register("tone", draft)


def _line(row: dict[str, Any]) -> str:
    answers = ", ".join(f"{status}: {count:,}" for status, count in sorted(row["statuses"].items()))
    memory = f"PSS {row['pss_mb']:7.1f} MB  private {row['uss_mb']:7.1f} MB"
    return f"{row['requests']:>9,} requests  {memory}  ({answers}; {row['seconds']:.0f} s)"


def _print(report: dict[str, Any], first: int, last: int) -> int:
    print(f"{report['host']}; one replica, a model of pictures and one of texts")
    for row in report["rows"]:
        print(_line(row))
    growths = []
    for key, name in (("pss_mb", "PSS"), ("uss_mb", "private memory")):
        growths.append(report["rows"][-1][key] / report["rows"][0][key] - 1)
        print(f"{name}, {last:,} requests beside {first:,}: {growths[-1]:+.1%} (claim: within {MAX_DIFFERENCE:.0%})")
    return 0 if max(map(abs, growths)) <= MAX_DIFFERENCE else 1


if __name__ == "__main__":
    sys.exit(main())
