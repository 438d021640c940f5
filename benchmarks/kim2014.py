"""Kim (2014), table 2, CNN-rand: MR by 10-fold cross-validation and TREC on its test questions, no pretrained vectors.

    RAYTUNE_DATA_DIR=FOLDER python benchmarks/kim2014.py [--data mr trec] [--seeds 3] [--trials 12]

FOLDER/text holds mr.parquet, trec-train.parquet and trec-test.parquet (columns `text` and `label`); none of them is
part of this project. One configuration a data set is found by this product's own search (ASHA), which sees no test
text: for TREC on its training questions alone; for MR, each of whose sentences is in some test fold, on the embedded
sentences that are not of movie reviews. Then, as in the paper, a tenth of each training part says after which epoch to
stop, and the accuracy is that of the test part at that epoch: for MR the mean over ten random folds, for TREC the test
questions. Mean and spread are over seeds, which draw folds, held-out tenths, weights and order anew.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from raytune_app.cluster import connect
from raytune_app.data.arrays import Training
from raytune_app.data.sentences import BUILTIN, THRESHOLD
from raytune_app.data.split import stratified_folds, stratified_split
from raytune_app.data.text_file import read_texts
from raytune_app.data.texts import Texts
from raytune_app.spec import Experiment, parse, resolve
from raytune_app.storage import Storage
from raytune_app.training.predict import answers
from raytune_app.training.run import Run
from raytune_app.training.speed import Speed
from raytune_app.tuning.study import prepare, tune

PAPER = {"mr": 76.1, "trec": 91.2}
FOLDS = 10
HELD_OUT = 0.1
CPU = torch.device("cpu")

Values = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One training of a resolved experiment: what it learns from, and what it is then asked."""

    experiment: Experiment
    classes: tuple[str, ...]
    train: Texts
    test: Texts
    seed: int


def experiment(name: str, path: str, trials: int) -> Experiment:
    """What is searched: how much the network forgets and how fast it learns; its filters are the paper's.

    MR has no upper case, TREC has.
    """
    return parse(
        {
            "name": f"kim-{name}",
            "data": {"name": "text_file", "path": path, "validation": 0.1},
            "model": {
                "name": "text_cnn",
                "dimension": {"choice": [128, 300]},
                "dropout": {"uniform": [0.3, 0.7]},
                "tokens": {"max_length": 64, "lower": {"choice": [True, False]} if name == "trec" else True},
            },
            "train": {"epochs": 8, "batch_size": 50, "lr": {"loguniform": [3e-4, 3e-3]}},
            "augment": {"word_dropout": {"uniform": [0.0, 0.3]}},
            "scheduler": {"name": "asha", "grace": 2, "reduction": 2},
            "trials": trials,
        }
    )


def search(searched: Experiment) -> Values:
    """The best configuration by its validation accuracy."""
    with connect(), tempfile.TemporaryDirectory() as folder:
        outcome = tune(prepare(searched, Storage(folder)))
    assert outcome.winner is not None
    return dict(outcome.winner.config)


def not_of_movies(folder: Path) -> str:
    """The embedded sentences of other sources, negative or positive, as a file."""
    table = pq.read_table(BUILTIN)
    rating = table["rating"].to_numpy()
    kept = (np.abs(rating) >= THRESHOLD) & (table["source"].to_numpy(zero_copy_only=False) != "movie_review")
    labels = np.where(rating > 0, "positive", "negative")[kept]
    path = folder / "sentences.parquet"
    pq.write_table(pa.table({"text": table["text"].filter(pa.array(kept)), "label": labels}), path)
    return str(path)


def read(path: Path, classes: tuple[str, ...] | None = None) -> tuple[Texts, tuple[str, ...]]:
    """All texts of a file, as they are."""
    table = read_texts(str(path), text="text", label="label")
    classes = classes or table.classes()
    return table.encode(classes), classes


def accuracy(task: Task) -> float:
    """Train until the end, and take the epoch that is best on the held-out tenth."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([task.seed, 7])
    learnt, held_out = stratified_split(task.train.labels, HELD_OUT, rng, task.classes)
    data = Training(task.train.take(learnt), task.train.take(held_out), task.classes, (), (), "")
    run = Run(task.experiment, data, seed=task.seed, device=CPU, speed=Speed())
    best, right = -1.0, 0.0
    for _ in range(task.experiment.train.epochs):
        score = run.train_epoch().accuracy
        if score > best:
            given = answers(run.classifier, task.test, device=CPU).argmax(axis=1)
            best, right = score, float((given == task.test.labels).mean())
    return right


def tasks(name: str, folder: Path, chosen: Experiment, seed: int) -> list[Task]:
    """The trainings of one seed: MR's ten folds, or TREC's one."""
    if name == "trec":
        train, classes = read(folder / "trec-train.parquet")
        test, _ = read(folder / "trec-test.parquet", classes)
        return [Task(chosen, classes, train, test, seed)]
    texts, classes = read(folder / "mr.parquet")
    folds = stratified_folds(texts.labels, FOLDS, np.random.default_rng(seed), classes)
    return [
        Task(chosen, classes, texts.take(np.delete(np.arange(len(texts)), fold)), texts.take(fold), 100 * seed + number)
        for number, fold in enumerate(folds)
    ]


def main() -> None:
    """Print the configuration found, then each seed's accuracy, mean and spread beside the paper's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", nargs="+", choices=list(PAPER), default=list(PAPER))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=12)
    args = parser.parse_args()
    root = os.environ.get("RAYTUNE_DATA_DIR")
    if not root:
        parser.exit(0, "left out: RAYTUNE_DATA_DIR does not say where the data are\n")
    folder = Path(root) / "text"
    processor = torch.cpu.get_capabilities().get("cpu_name") or platform.machine()
    print(f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}")
    for name in args.data:
        evaluate(name, folder, args.seeds, args.trials)


def evaluate(name: str, folder: Path, seeds: int, trials: int) -> None:
    """One data set."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        path = not_of_movies(Path(scratch)) if name == "mr" else str(folder / "trec-train.parquet")
        values = search(searched := experiment(name, path, trials))
    chosen = resolve(searched, values)
    found = ", ".join(f"{key} {value:.3g}" for key, value in values.items())
    print(f"{name}: found by {trials} trials in {time.perf_counter() - started:.0f} s: {found}", flush=True)
    of_seeds = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for seed in range(1, seeds + 1):
            of_seeds.append(100 * statistics.mean(pool.map(accuracy, tasks(name, folder, chosen, seed))))
            print(f"{name}: seed {seed}: {of_seeds[-1]:.2f} %", flush=True)
    spread = f", sd {statistics.stdev(of_seeds):.2f}" if len(of_seeds) > 1 else ""
    print(f"{name}: mean {statistics.mean(of_seeds):.2f} % (n = {seeds} seeds{spread}); Kim's CNN-rand {PAPER[name]} %")


if __name__ == "__main__":
    main()
