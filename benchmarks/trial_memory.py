"""What each further trial process adds in memory: proportional set size, with the data in Ray's object store.

    make bench BENCH=trial_memory

Runs full MNIST with 1 and with 2 trials at once and sums, over the trial processes, the proportional set size (each
shared page counted by its share) of all mappings and of the object store's alone. A second copy of the pictures in a
process would add their size to its private memory.
"""

from __future__ import annotations

import os
import platform
import re
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray

from raytune_app.cluster import connect
from raytune_app.spec import parse
from raytune_app.storage import Storage
from raytune_app.tuning import study

MB = 1e6


@dataclass
class Sample:
    """One trial process, megabytes: its private memory, and its share of the object store's mapping."""

    private_mb: float
    store_pss_mb: float


def measure(pid: int) -> Sample:
    """Read /proc/PID/smaps: mappings named plasma are Ray's object store."""
    private, store, in_store = 0, 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            in_store = "plasma" in line
        elif line.startswith(("Private_Clean", "Private_Dirty")) and not in_store:
            private += int(line.split()[1]) * 1024
        elif line.startswith("Pss:") and in_store:
            store += int(line.split()[1]) * 1024
    return Sample(private / MB, store / MB)


def sample_trials(limit: int | None, slots: int, folder: str) -> tuple[list[Sample], float]:
    """Train `slots` trials at once and measure each process while it trains; also the pictures' size, MB."""
    data = {"name": "mnist"} | ({"train_limit": limit} if limit else {})
    experiment = parse(
        {
            "name": "memory",
            "data": data,
            "model": {"name": "tutorial_cnn", "channels": 4},
            "train": {"epochs": 3, "speed": "plain", "lr": {"uniform": [0.001, 0.002]}},
            "trials": slots,
            "resources": {"concurrent": slots},
        }
    )
    prepared = study.prepare(experiment, Storage(folder))
    peaks: dict[int, Sample] = {}
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(peaks, done))
    watcher.start()
    study.tune(prepared)
    done.set()
    watcher.join()
    pictures = prepared.data.pictures[0].images.nbytes + prepared.data.pictures[1].images.nbytes
    return list(peaks.values()), pictures / MB


def _watch(peaks: dict[int, Sample], done: threading.Event) -> None:
    while not done.wait(0.3):
        for process in psutil.Process().children(recursive=True):
            try:
                if "Trainable" in " ".join(process.cmdline()) and process.cpu_times().user > 1:
                    peaks[process.pid] = measure(process.pid)
            except (psutil.Error, OSError):
                continue


def main() -> None:
    """Compare a small and the full training part: private memory must not grow by the difference."""
    print(
        f"Ray {ray.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPU, {time.strftime('%Y-%m-%d')}"
    )
    with connect(cpus=2), tempfile.TemporaryDirectory() as folder:
        for limit, slots in ((2000, 2), (None, 1), (None, 2)):
            samples, pictures_mb = sample_trials(limit, slots, folder)
            print(f"{slots} trial processes, {pictures_mb:.1f} MB of pictures:")
            for sample in samples:
                print(f"  private {sample.private_mb:7.1f} MB, share of the object store {sample.store_pss_mb:6.1f} MB")


if __name__ == "__main__":
    main()
