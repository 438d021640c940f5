"""One trial of Syne Tune's in benchmarks/search.py: its local backend starts this file for each."""

from __future__ import annotations

import argparse

from syne_tune import Reporter  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks.search_peers.plan import Plan
from benchmarks.search_peers.training import train

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--trial", type=int, required=True)
    parser.add_argument("--plan", required=True)
    args, _ = parser.parse_known_args()
    report = Reporter()
    for epoch, accuracy in enumerate(train(Plan.read(args.plan), args.trial), 1):
        report(epoch=epoch, accuracy=accuracy)
