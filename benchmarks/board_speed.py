"""How long the board takes to show a study, how much memory it takes, and how large a frozen page is.

    .venv/bin/python benchmarks/board_speed.py [TRIALS ...]

Studies of 100, 1,000 and 10,000 trials of 20 epochs, written as a study writes them, in a real Chromium. `cold`: the
first to open the study, whose log is read then; `warm`: the next. `sorted`: from a click on a heading to the next
frame. `load`: of the machine, since other work on it makes all of this slower.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from raytune_app.board.frozen import write_report
from raytune_app.spec import Experiment, parse
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.folder import StudyFolder

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SLOTS = 16
EPOCHS = 20
SEEN = """
new MutationObserver(() => {
  if (!window.interactive && document.querySelector("tr[data-id]")) window.interactive = performance.now();
}).observe(document, { childList: true, subtree: true });
"""
"""Notes when the first row of a table is there."""


def experiment(name: str, trials: int, epochs: int) -> Experiment:
    """What the made-up study searches."""
    return parse(
        {
            "name": name,
            "data": {"name": "mnist"},
            "model": {"name": "conv_net", "width": {"choice": [8, 16, 32]}, "dropout": {"uniform": [0.0, 0.5]}},
            "train": {
                "epochs": epochs,
                "lr": {"loguniform": [1e-4, 1e-1]},
                "momentum": {"uniform": [0.5, 0.95]},
                "optimizer": {"choice": ["sgd", "adam"]},
            },
            "trials": trials,
            "scheduler": {"name": "fifo"},
        }
    )


def events(study: str, trials: int, epochs: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """The log of a study of SLOTS slots, oldest first."""
    chance, start = random.Random(seed), datetime(2026, 11, 1, tzinfo=UTC)
    yield {"event": "study_started", "time": start.isoformat(), "study": study, "trials": trials, "epochs": epochs}
    found = []
    for number in range(trials):
        at = 1.0 + number // SLOTS * (epochs + 2) + chance.random()
        found += [(at + offset, event) for offset, event in trial_events(number, epochs, chance)]
    for at, event in sorted(found, key=lambda one: one[0]):
        kind = event.pop("event")
        time_of = (start + timedelta(seconds=at)).isoformat(timespec="milliseconds")
        yield {"event": kind, "time": time_of, **event}
    last = (start + timedelta(seconds=found[-1][0] + 2)).isoformat(timespec="milliseconds")
    yield {"event": "study_ended", "time": last, "state": "finished", "reason": None}


def trial_events(number: int, epochs: int, chance: random.Random) -> Iterator[tuple[float, dict[str, Any]]]:
    """One trial's events with the seconds after its start."""
    lr = 10 ** chance.uniform(-4, -1)
    config: dict[str, Any] = {
        "model.width": chance.choice([8, 16, 32]),
        "model.dropout": chance.uniform(0, 0.5),
        "train.lr": lr,
        "train.momentum": chance.uniform(0.5, 0.95),
        "train.optimizer": chance.choice(["sgd", "adam"]),
    }
    yield 0.0, {"event": "trial_started", "trial": number, "config": config, "role": "search", "of": None}
    limit = 0.985 - 0.03 * abs(math.log10(lr) + 2) - 0.02 * config["model.dropout"] + chance.gauss(0, 0.004)
    for epoch in range(1, epochs + 1):
        accuracy = min(0.999, limit - 0.4 * math.exp(-epoch / (3 + 2 * chance.random())) + chance.gauss(0, 0.003))
        row = {
            "train_loss": 1.2 * (1 - accuracy),
            "train_accuracy": accuracy - 0.01,
            "loss": 1.5 * (1 - accuracy) + 0.01,
            **dict.fromkeys(("accuracy", "macro_precision", "macro_recall", "macro_f1"), accuracy),
            "examples_per_s": chance.uniform(4000, 6000),
            "epoch_s": chance.uniform(0.8, 1.0),
            "lr": lr,
            "diverged": False,
            "finished": epoch == epochs,
            "peak_gpu_mb": None,
            "parameters": 14542,
            "decision": None,
            "rung": None,
            "host": "node-1",
            "pid": 4000 + number % SLOTS,
        }
        yield float(epoch), {"event": "epoch", "trial": number, "epoch": epoch, **row}
    saved = f"tune/trial-{number:05d}/checkpoint_{epochs:06d}"
    yield epochs + 0.1, {"event": "checkpoint", "trial": number, "epoch": epochs, "path": saved, "mb": 0.1}
    yield epochs + 0.2, {"event": "trial_ended", "trial": number, "state": "finished", "error": None}


def write_study(storage: Storage, name: str, trials: int, epochs: int = EPOCHS) -> StudyFolder:
    """Write the folder of a study that has ended."""
    study = f"{name}-20261101-000000-0000"
    folder = StudyFolder(storage, StudyPaths(study))
    storage.write(folder.paths.spec, experiment(name, trials, epochs).to_yaml())
    storage.write(folder.paths.events, "".join(f"{json.dumps(event)}\n" for event in events(study, trials, epochs)))
    record: dict[str, Any] = {
        "study": study,
        "name": name,
        "state": "finished",
        "reason": None,
        "seed": 0,
        "versions": {},
    }
    storage.write_json(
        folder.paths.state,
        {**record, "created": "2026-11-01T00:00:00+00:00", "data_fingerprint": "", "code_fingerprint": ""},
    )
    return folder


@contextmanager
def board(storage: Storage) -> Iterator[tuple[str, psutil.Process]]:
    """A board of its own: its address and its process."""
    command = [sys.executable, "-m", "raytune_app", "board", "--json", "--port", "0", "--storage", storage.uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own program
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"], psutil.Process(process.pid)
        finally:
            process.terminate()


def opened(browser: Browser, url: str) -> tuple[Page, float, float]:
    """Open a page: it, milliseconds to its first paint, and to its first row."""
    page = browser.new_page()
    page.add_init_script(SEEN)
    page.goto(url)
    page.wait_for_selector("tr[data-id]")
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1")
    return page, painted, page.evaluate("window.interactive")


def sort_ms(page: Page) -> float:
    """Milliseconds from a click on a heading to the next frame."""
    return float(
        page.evaluate(
            """() => new Promise((done) => {
              const begun = performance.now();
              document.querySelector("th[data-key='train.lr'] button").click();
              requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
            })"""
        )
    )


def measure(browser: Browser, trials: int) -> list[str]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as scratch:
        storage = Storage(scratch)
        folder = write_study(storage, f"speed-{trials}", trials)
        with board(storage) as (url, process):
            address = f"{url}#/study/{folder.study}"
            page, painted, cold = opened(browser, address)
            page.close()
            page, _, warm = opened(browser, address)
            ordered = sort_ms(page)
            page.close()
            memory = process.memory_info().rss / 2**20
        begun = time.perf_counter()
        report = Path(storage.location(write_report(folder)))
        written = time.perf_counter() - begun
        page, _, from_disk = opened(browser, report.as_uri())
        page.close()
        size = report.stat().st_size / 1e6
    load = f"{os.getloadavg()[0]:.1f}"
    ms = [f"{value:,.0f} ms" for value in (painted, cold, warm, ordered)]
    return [f"{trials:,}", *ms, f"{memory:,.0f} MB", f"{size:.2f} MB", f"{written:.1f} s", f"{from_disk:,.0f} ms", load]


def main() -> None:
    """Measure and print a table."""
    assert CHROMIUM, "there is no Chromium here; Debian: apt-get install chromium"
    table = Table(title=f"the board, studies of {EPOCHS} epochs a trial")
    headings = (
        "trials",
        "first paint",
        "first row, cold",
        "warm",
        "sorted",
        "server",
        "frozen",
        "written in",
        "opens in",
        "load",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox does not run as root
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        for trials in map(int, sys.argv[1:] or ("100", "1000", "10000")):
            table.add_row(*measure(browser, trials))
        browser.close()
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
