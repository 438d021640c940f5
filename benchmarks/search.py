"""A whole search against its peers: wall time and epochs to 98.0 % and 99.0 % validation accuracy, and to the end.

    make bench BENCH=search [ARGS="--rounds 3 --out FOLDER"]

24 configurations, drawn once, of a two-convolution network on 20,000 MNIST pictures, 16,000 to learn from and 4,000 to
validate on; halving by 3 at epochs 1, 3 and 9; two trials at once, one torch thread each. Every contender is a command
of its own, one after the other, timed from before its imports to its exit; `search_peers/` has them:

    raytune   this product: ASHA as the peers have it, `speed: auto`, its event log and checkpoints as always
    halving   this product with `scheduler: {name: hyperband, brackets: 1}`: synchronous, so the fewest epochs
    ray       Ray Tune as its MNIST example uses it: a function for a trial, ASHA, everything else by default
    optuna    Optuna's halving pruner, two processes over a journal file
    syne      Syne Tune's ASHA, stopping, local backend, in an environment made here (--env FOLDER keeps it)

The peers save no checkpoints and train in float32 by one plain loop, their pictures from a DataLoader as in their own
examples; `--feed tensors` gives them pictures in memory instead. Asynchronous halving trains more or fewer epochs by
who reports first: compare seconds per epoch and seconds outside epochs too. Those are a slot's share of
(wall x slots - training and validation): starting, importing, loading, deciding, idling.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from raytune_app.data.catalog import load_training
from raytune_app.data.mnist import BUILTIN, mnist
from raytune_app.data.split import stratified_sample, stratified_split
from raytune_app.spec.grammar import DataSpec

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    "raytune": "product",
    "halving": "product",
    "ray": "ray_example",
    "optuna": "optuna_workers",
    "syne": "syne_asha",
}
TARGETS = {"1st epoch": 0.0, "98.0 %": 0.98, "99.0 %": 0.99}
SYNE = "syne-tune==0.16.0"
SLOTS, SEED, VALIDATION = 2, 0, 0.2
HALVING = {"epochs": 9, "grace": 1, "reduction": 3}
MB = 2**20
LOOK_EVERY_S, GRACE_S = 2.0, 10.0


@dataclass
class Result:
    """What one run of one contender came to; `lines` are its epochs, with `at_s` since the command began."""

    wall_s: float
    peak_mb: float
    code: int
    lines: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def epoch_s(self) -> float:
        """Mean seconds of an epoch."""
        return statistics.fmean(float(line["epoch_s"]) for line in self.lines)

    @property
    def outside_s(self) -> float:
        """Seconds of a slot in which no epoch was trained, or none that was finished."""
        return self.wall_s - len(self.lines) * self.epoch_s / SLOTS

    @property
    def best(self) -> dict[str, Any]:
        return max(self.lines, key=itemgetter("accuracy"))

    def reached(self, target: float) -> tuple[float, int] | None:
        """Seconds and epochs trained by everyone until an epoch was this good."""
        lines = sorted(self.lines, key=itemgetter("at_s"))
        found = ((line["at_s"], count) for count, line in enumerate(lines, 1) if line["accuracy"] >= target)
        return next(found, None)


def draw(count: int) -> list[dict[str, Any]]:
    """The configurations: the same for everyone, and the first n the same for every count."""
    rng = random.Random(SEED)
    return [
        {
            "lr": float(f"{10 ** rng.uniform(-4, -1):.3g}"),
            "batch_size": rng.choice([32, 64, 128, 256]),
            "optimizer": rng.choice(["adam", "adamw", "sgd"]),
            "weight_decay": float(f"{10 ** rng.uniform(-6, -3):.3g}"),
        }
        for _ in range(count)
    ]


def lay_out_data(folder: Path, images: int) -> None:
    """MNIST as torchvision reads it, and the indices of this product's own split."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for packed in BUILTIN.glob("*.gz"):
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    source = mnist(str(raw))
    arrays, rng = source.train(), np.random.default_rng([SEED, 0])
    kept = stratified_sample(arrays.labels, images, rng, source.classes)
    parts = [kept[part] for part in stratified_split(arrays.labels[kept], VALIDATION, rng, source.classes)]
    ours = load_training(DataSpec(name="mnist", train_limit=images, validation=VALIDATION), SEED)
    for name, part, own in zip(("train", "validation"), parts, ours.pictures, strict=True):
        assert np.array_equal(arrays.images[part], own.images), name
        np.save(folder / f"{name}.npy", part)


def make_syne(folder: Path) -> Path | None:
    """A Python that has Syne Tune, and torch from this environment; None if it cannot be had."""
    python, uv = folder / "bin" / "python", [sys.executable, "-m", "uv"]
    if not list(folder.glob("lib/python*/site-packages/syne_tune")):
        steps = [
            [*uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)],
            [*uv, "pip", "install", "--quiet", "--python", str(python), SYNE],
        ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)  # noqa: S603  # our own command
            if done.returncode:
                print(f"Syne Tune is left out: {' '.join(step[2:])} failed:\n{done.stderr.strip()}")
                return None
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    listed = subprocess.run(  # noqa: S603  # the same
        [*uv, "pip", "freeze", "--quiet", "--python", str(python)], capture_output=True, text=True, check=False
    )
    print(f"Syne Tune's environment, torch shared with this one: {' '.join(listed.stdout.split())}")
    return python


def run(name: str, python: Path, folder: Path, plan: dict[str, Any], limit_s: float) -> Result:
    """One contender from start to exit, everything it writes inside `folder`."""
    home = folder / "home"
    home.mkdir(parents=True)
    plan_file, log = folder / "plan.json", folder / "epochs.jsonl"
    plan_file.write_text(json.dumps({**plan, "contender": name, "log": str(log)}))
    log.touch()
    quiet = {"HOME": str(home), "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [str(python), "-m", f"benchmarks.search_peers.{MODULES[name]}", str(plan_file)]
    with (folder / "output.txt").open("wb") as output:
        began, started = time.time(), time.perf_counter()
        process = psutil.Popen(command, stdout=output, stderr=output, cwd=home, env={**os.environ, **quiet})
        family = Family(process)
        try:
            family.watch(limit_s)
        finally:
            wall_s = time.perf_counter() - started
            family.end()
    result = Result(wall_s, family.peak / MB, process.returncode)
    for line in map(json.loads, log.read_text().splitlines()):
        if "note" in line:
            result.notes.append(line["note"])
        else:
            result.lines.append({**line, "at_s": line["time"] - began})
    return result


class Family:
    """A process and all its descendants; Ray's and Syne Tune's are among them.

    Attributes:
        peak: the most bytes all had together, a page that several have counted by share.
    """

    def __init__(self, parent: psutil.Popen) -> None:
        self.peak = 0.0
        self._parent, self._seen = parent, {parent}

    def watch(self, limit_s: float) -> None:
        """Wait for the parent's end, at most so long."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            with suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):
                self._parent.wait(LOOK_EVERY_S)
                return
            with suppress(psutil.NoSuchProcess):
                living = [self._parent, *self._parent.children(recursive=True)]
                self._seen.update(living)
                self.peak = max(self.peak, sum(map(memory, living)))

    def end(self) -> None:
        """End what is still there after a limit, a crash or Ctrl-C; nothing, as a rule."""
        ended = self._parent.poll() is not None
        _, alive = psutil.wait_procs(self._seen, timeout=GRACE_S if ended else 0)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._parent.wait()


def memory(process: psutil.Process) -> float:
    """Proportional set size, bytes; 0 for one that has just ended."""
    with suppress(psutil.Error):
        return float(process.memory_full_info().pss)
    return 0.0


def rows(result: Result, configs: list[dict[str, Any]]) -> Iterator[str]:
    """A result's columns, in the order of HEAD, then its winner."""
    for target in TARGETS.values():
        reached = result.reached(target)
        yield f"{reached[0]:7.1f} ({reached[1]:3})" if reached else f"{'never':>13}"
    yield f"{result.wall_s:7.1f} ({len(result.lines):3})"
    yield f"{result.epoch_s:7.2f}"
    yield f"{result.outside_s:9.1f}"
    yield f"{result.peak_mb:7.0f}"
    yield f"{100 * result.best['accuracy']:6.2f} %  trial {result.best['trial']}: {configs[result.best['trial']]}"


HEAD = (
    f"{'contender':<10} {' '.join(f'{title:>13}' for title in TARGETS)} {'the end':>13} {'s/epoch':>7} {'s outside':>9}"
    f" {'peak MB':>7}   winner; seconds to each, in brackets the epochs trained by then"
)


def summary(name: str, results: list[Result]) -> str:
    """Mean and standard deviation over the rounds, of what every round reached."""
    columns = {f"s to {title}": [each.reached(target) for each in results] for title, target in TARGETS.items()}
    values = {title: [each[0] for each in found if each] for title, found in columns.items()}
    for title, attribute in (("s to the end", "wall_s"), ("s/epoch", "epoch_s"), ("s outside", "outside_s")):
        values[title] = [getattr(result, attribute) for result in results]
    texts = [
        f"{title} {statistics.fmean(each):.2f} (sd {statistics.stdev(each):.2f})"
        for title, each in values.items()
        if len(each) == len(results)
    ]
    return f"{name:<10} n={len(results)}  " + "  ".join(texts)


def compare(args: argparse.Namespace, folder: Path) -> int:
    """All contenders, each round in another order; returns how many runs failed."""
    data = folder / "data"
    lay_out_data(data, args.images)
    pythons = dict.fromkeys(args.contenders, Path(sys.executable))
    if "syne" in pythons and (syne := make_syne(Path(args.env).absolute() if args.env else folder / "syne")):
        pythons["syne"] = syne
    elif "syne" in pythons:
        del pythons["syne"]
    configs, names = draw(args.configs), list(pythons)
    plan = {"configs": configs, **HALVING, "slots": SLOTS, "images": args.images, "validation": VALIDATION}
    plan |= {"seed": SEED, "feed": args.feed, "data": str(data)}
    print(f"{args.configs} configurations, {args.images} images, the peers' pictures by {args.feed}\n{HEAD}")
    results: dict[str, list[Result]] = {name: [] for name in names}
    failed = 0
    for number in range(args.rounds):
        turn = number % max(len(names), 1)
        for name in names[turn:] + names[:turn]:
            place = folder / f"{name}-{number + 1}"
            result = run(name, pythons[name], place, plan, args.limit_s)
            if result.code or not result.lines:
                failed += 1
                print(f"{name:<10} failed with {result.code} after {result.wall_s:.0f} s:")
                print("\n".join((place / "output.txt").read_text(errors="replace").splitlines()[-12:]))
                continue
            results[name].append(result)
            print(f"{name:<10} {' '.join(rows(result, configs))}", *result.notes, sep="; ", flush=True)
    if args.rounds > 1:
        print(*(summary(name, each) for name, each in results.items() if len(each) > 1), sep="\n")
    return failed


def main() -> int:
    """Print a row for each run of each contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", type=lambda text: text.split(","), default=list(MODULES), metavar="A,B")
    parser.add_argument("--configs", type=int, default=24)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--feed", choices=("loader", "tensors"), default="loader", help="of the peers' pictures")
    parser.add_argument("--limit-s", type=float, default=3600.0, help="a contender that takes longer has failed")
    parser.add_argument("--env", metavar="FOLDER", help="keep Syne Tune's environment there, or use the one there is")
    parser.add_argument("--out", metavar="FOLDER", help="keep every contender's JSON lines and output in a new folder")
    args = parser.parse_args()
    if unknown := set(args.contenders) - set(MODULES):
        parser.error(f"unknown contenders {sorted(unknown)}; known: {', '.join(MODULES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs is ended too
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "ray", "optuna"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}")
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, load average {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(prefix="search-", ignore_cleanup_errors=True) as temporary:
        if args.out:
            Path(args.out).mkdir(parents=True)
        return int(compare(args, Path(args.out or temporary).absolute()) > 0)


if __name__ == "__main__":
    sys.exit(main())
