"""Pictures a second of 1, 2, 4 and 8 trials at once on one GPU, with and without NVIDIA's Multi-Process Service.

    python benchmarks/gpu_packing.py [--trials 1,2,4,8] [--seconds 10] [--rounds 3] [--device cuda]

Each trial is a process of its own, as Ray starts it: the data resident on the GPU as uint8, a cap of 1/n of its memory,
the speed that `speed: auto` chooses. A round measures every count in turn, each for so many seconds after all of its
trials are warm. MPS is tried where `nvidia-cuda-mps-control` is installed: a daemon of our own, its pipes in a
temporary folder, ended with the benchmark. `--device cpu` shows that the script works, and nothing else.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import platform
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from raytune_app.data.catalog import load_training
from raytune_app.spec import Experiment, parse
from raytune_app.training.run import Run
from raytune_app.training.speed import Speed
from raytune_app.training.timing import choose_speed

START_S = 300.0
"""For all trials of a count to be warm."""


def experiment(images: int) -> Experiment:
    """The network of experiments/mnist_asha.yaml's winner, or nearly so."""
    return parse(
        {
            "name": "gpu-packing",
            "data": {"name": "mnist", "train_limit": images},
            "model": {"name": "conv_net", "blocks": 3, "width": 32, "dropout": 0.1},
            "train": {"epochs": 1000, "batch_size": 128, "optimizer": "adamw", "lr": 0.001},
            "augment": {"crop_padding": 2},
        }
    )


def trial(number: int, count: int, args: argparse.Namespace, speed: Speed, warm: Any, results: Any) -> None:
    """Train for so many seconds beside the others; puts (pictures, seconds) into `results`."""
    device = torch.device(args.device)
    torch.set_num_threads(1)
    if device.type == "cuda" and count > 1:
        torch.cuda.set_per_process_memory_fraction(1 / count)
    spec = experiment(args.images)
    data = load_training(spec.data, spec.seed)
    run = Run(spec, data, seed=number, device=device, speed=speed)
    run.train_epoch()
    warm.wait(START_S)
    began, pictures = time.perf_counter(), 0
    while time.perf_counter() - began < args.seconds:
        run.train_epoch()
        pictures += len(data.train)
    results.put((pictures, time.perf_counter() - began))


def side_by_side(count: int, args: argparse.Namespace, speed: Speed) -> float:
    """Pictures a second of all trials together."""
    context = mp.get_context("spawn")
    warm, results = context.Barrier(count), context.Queue()
    given = (count, args, speed, warm, results)
    trials = [context.Process(target=trial, args=(number, *given), daemon=True) for number in range(count)]
    try:
        for process in trials:
            process.start()
        told = [result for _ in trials if (result := _next(results, trials, START_S + 10 * args.seconds))]
    finally:
        for process in trials:
            process.join(timeout=10)
            process.kill()
    if len(told) < count:
        raise RuntimeError(f"a trial of {count} ended without a result")
    return float(sum(pictures / seconds for pictures, seconds in told))


def _next(results: Any, trials: list[Any], limit_s: float) -> tuple[int, float] | None:
    """The next result; None if a trial has failed, or none comes in time."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until and not any(process.exitcode for process in trials):
        with suppress(queue.Empty):
            result: tuple[int, float] = results.get(timeout=1.0)
            return result
    return None


@contextmanager
def mps() -> Iterator[bool]:
    """Within it processes started anew share one context on the GPU; yields False where that cannot be had."""
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        yield False
        return
    with tempfile.TemporaryDirectory(prefix="mps-", ignore_cleanup_errors=True) as folder:
        places = {"CUDA_MPS_PIPE_DIRECTORY": f"{folder}/pipe", "CUDA_MPS_LOG_DIRECTORY": f"{folder}/log"}
        for place in places.values():
            Path(place).mkdir()
        os.environ.update(places)
        started = subprocess.run([control, "-d"], check=False)  # noqa: S603  # found on PATH just now
        try:
            yield started.returncode == 0
        finally:
            with suppress(subprocess.TimeoutExpired):
                subprocess.run([control], input=b"quit\n", check=False, timeout=30)  # noqa: S603  # the same
            for name in places:
                del os.environ[name]


def measure(args: argparse.Namespace, speed: Speed, title: str, alone: float | None = None) -> float:
    """Print a row for each count: mean and standard deviation over the rounds, and the ratio to the first count's.

    Args:
        alone: pictures a second that the ratios are to; None: those of the first count. Returned.
    """
    rates: dict[int, list[float]] = {count: [] for count in args.trials}
    for _ in range(args.rounds):
        for count in args.trials:
            rates[count].append(side_by_side(count, args, speed))
    alone = alone or statistics.fmean(rates[args.trials[0]])
    for count, each in rates.items():
        spread = statistics.stdev(each) if len(each) > 1 else 0.0
        mean = statistics.fmean(each)
        print(f"{title:<12} {count:>6} {mean:>12,.0f} {spread:>8,.0f} {mean / alone:>6.2f}  n={len(each)}", flush=True)
    return alone


def main() -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=lambda text: [int(each) for each in text.split(",")], default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("error: there is no GPU here; see --help", file=sys.stderr)
        return 1
    device = torch.device(args.device)
    spec = experiment(args.images)
    speed = choose_speed(spec, load_training(spec.data, spec.seed), device, trainings=0).speed
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    print(f"{name}, {os.cpu_count()} cores, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}, {speed}")
    print(f"{'':<12} {'trials':>6} {'pictures/s':>12} {'sd':>8} {'ratio':>6}")
    alone = measure(args, speed, "own contexts")
    if device.type == "cuda":
        with mps() as is_there:
            try:
                if is_there:
                    measure(args, speed, "MPS", alone)
                else:
                    print("MPS is not installed here")
            except RuntimeError as error:  # in a container its daemon starts too, and may be of no use
                print(f"MPS cannot be used here: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
