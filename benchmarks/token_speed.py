"""Sentences a second that a tokenizer encodes on one core: words, characters and character n-grams.

    python benchmarks/token_speed.py [--rounds 9]

The texts are the embedded sentences, the vocabularies of at most 20,000 rows are built of the same. Every round encodes
them all with each kind in turn, so that other work on the machine meets all kinds alike.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from raytune_app import data
from raytune_app.data.tokens import Kind, Tokenizer, TokenizerSettings, build_tokenizer

SENTENCES = Path(data.__file__).parent / "builtin" / "sentences"
GOAL = 200_000


def sentences() -> list[str]:
    """All texts that the package ships."""
    texts: list[str] = []
    for file in sorted(SENTENCES.glob("*.parquet")):
        texts += pq.read_table(file, columns=["text"])["text"].to_pylist()
    return texts


def speed(tokenizer: Tokenizer, texts: list[str]) -> float:
    """Texts a second of one call."""
    started = time.perf_counter()
    tokenizer.encode(texts)
    return len(texts) / (time.perf_counter() - started)


def main() -> None:
    """Print the hardware, then each kind's vocabulary, mean and standard deviation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count")
    args = parser.parse_args()
    texts = sentences()
    built = {kind: build_tokenizer(TokenizerSettings(kind=kind), texts) for kind in Kind}
    processor = torch.cpu.get_capabilities().get("cpu_name") or platform.machine()
    print(f"{processor}, one core, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{len(texts)} sentences, {np.mean([len(text.split()) for text in texts]):.1f} words each")
    rounds = [{kind: speed(tokenizer, texts) for kind, tokenizer in built.items()} for _ in range(args.rounds + 1)]
    for kind, tokenizer in built.items():
        values = [speeds[kind] for speeds in rounds[1:]]  # the first round warms
        goal = f"  (goal: at least {GOAL})" if kind is Kind.WORD else ""
        print(
            f"{kind:<11}{len(tokenizer.vocabulary):>6} rows  n={len(values)}  mean {statistics.mean(values):.0f}"
            f"  sd {statistics.stdev(values):.0f} sentences/s{goal}"
        )


if __name__ == "__main__":
    main()
