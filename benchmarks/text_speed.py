"""Sentences a second on one core: `fit` beside a plain DataLoader loop of the same network, and a served version.

    python benchmarks/text_speed.py [--sentences 4000] [--repeats 5]

The plain loop is what a tutorial writes: a Dataset that splits each sentence and looks its words up in a dict when it
is asked for it, a collate function that pads a batch to its longest sentence, random batches, torch's Adam. Both train
text_cnn on the same real sentences with the same vocabulary, in turn, so that other work on the machine meets both
alike; the result is the ratio of each pair. Serving is the version's predictor without HTTP, raw sentences in and
probabilities out, one at a time and in batches of 128; beside it the same network fed by hand, one sentence at a time.
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_training
from raytune_app.data.vocabulary import RESERVED, UNKNOWN
from raytune_app.models.text_classifier import TextClassifier
from raytune_app.spec import parse
from raytune_app.training.examples import encoded
from raytune_app.training.run import Run, build_classifier
from raytune_app.training.speed import Speed

CPU = torch.device("cpu")
WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
EXPERIMENT = parse(
    {
        "name": "text-speed",
        "data": {"name": "sentences/topic"},
        "model": {"name": "text_cnn"},
        "train": {"epochs": 100, "batch_size": 50},
    }
)


def words(data: Training) -> dict[str, int]:
    """The rows of the vocabulary's words."""
    assert data.encoded is not None
    return {word: row for row, word in enumerate(data.encoded.tokenizer.vocabulary.tokens, RESERVED)}


def by_dict(ids: dict[str, int], text: str) -> Tensor:
    """The ids of a text's words and signs, split by a regular expression."""
    return torch.tensor([ids.get(word, UNKNOWN) for word in WORD.findall(text.lower())] or [UNKNOWN])


class Sentences(Dataset[tuple[Tensor, int]]):
    """Sentences as ids, made when they are asked for."""

    def __init__(self, data: Training) -> None:
        self._texts, self._labels = list(data.texts[0]), data.train.labels.tolist()
        self._ids = words(data)

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return by_dict(self._ids, self._texts[index]), self._labels[index]


def collate(batch: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Ids [B, L] and labels [B]."""
    return pad_sequence([ids for ids, _ in batch], batch_first=True), torch.tensor([label for _, label in batch])


def plain_loop(data: Training) -> Iterator[float]:
    """Sentences a second of each epoch."""
    network = build_classifier(EXPERIMENT, data, seed=0).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    loader = DataLoader(Sentences(data), batch_size=50, shuffle=True, collate_fn=collate)
    while True:
        started = time.perf_counter()
        for ids, labels in loader:
            loss = F.cross_entropy(network(ids), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch
            optimizer.step()
        yield len(data.train) / (time.perf_counter() - started)


def our_loop(data: Training) -> Iterator[float]:
    """Likewise, with `fit`."""
    run = Run(EXPERIMENT, data, seed=0, device=CPU, speed=Speed())
    while True:
        yield run.train_epoch().examples_per_s


def by_hand(model: TextClassifier, ids: dict[str, int], texts: list[str]) -> float:
    """Sentences a second, one after the other, in plain torch."""
    started = time.perf_counter()
    with torch.inference_mode():
        for text in texts:
            model(by_dict(ids, text)[None]).softmax(1).tolist()
    return len(texts) / (time.perf_counter() - started)


def served(model: TextClassifier, texts: list[str], batch: int) -> float:
    """Likewise by the version's own method, `batch` at a time."""
    started = time.perf_counter()
    for start in range(0, len(texts), batch):
        model.probabilities(texts[start : start + batch])
    return len(texts) / (time.perf_counter() - started)


def row(name: str, values: list[float]) -> str:
    """Mean and spread."""
    return f"{name:<34} n={len(values)}  mean {statistics.mean(values):>8.0f}  sd {statistics.stdev(values):.0f} /s"


def main() -> None:
    """Print each side's speed and the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sentences", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = encoded(EXPERIMENT.model, load_training(EXPERIMENT.data, 0).head(args.sentences, 500))
    processor = torch.cpu.get_capabilities().get("cpu_name") or platform.machine()
    print(f"{processor}, one thread, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"{args.sentences} sentences, {data.encoded and data.encoded.train.lengths.mean():.1f} tokens each")
    theirs, ours = plain_loop(data), our_loop(data)
    next(theirs), next(ours)  # warm
    pairs = [(next(theirs), next(ours)) for _ in range(args.repeats)]
    print(row("training, plain DataLoader loop", [slow for slow, _ in pairs]))
    print(row("training, fit", [fast for _, fast in pairs]))
    ratios = [fast / slow for slow, fast in pairs]
    print(f"ratio {statistics.mean(ratios):.2f} (sd {statistics.stdev(ratios):.2f}, least {min(ratios):.2f})")
    model, texts = build_classifier(EXPERIMENT, data, seed=0).eval(), list(data.texts[0])
    assert isinstance(model, TextClassifier)
    rounds = [
        (by_hand(model, words(data), texts[:1000]), served(model, texts[:1000], 1), served(model, texts, 128))
        for _ in range(args.repeats + 1)
    ][1:]
    for name, values in zip(
        ("answers, torch by hand, one a time", "answers, one a time", "answers, 128 a time"),
        zip(*rounds, strict=True),
        strict=True,
    ):
        print(row(name, list(values)))


if __name__ == "__main__":
    main()
