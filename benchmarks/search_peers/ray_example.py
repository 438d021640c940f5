"""A contender of benchmarks/search.py: Ray Tune as its own MNIST example uses it, with a function for a trial."""

from __future__ import annotations

import sys
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from benchmarks.search_peers.plan import Plan
from benchmarks.search_peers.training import train


def train_mnist(config: dict[str, Any]) -> None:
    """One trial."""
    for accuracy in train(Plan.read(config["plan"]), config["trial"]):
        tune.report({"mean_accuracy": accuracy})


def main() -> None:
    """Run the study that the plan named on the command line asks for."""
    plan = Plan.read(sys.argv[1])
    ray.init(num_cpus=plan.slots)
    scheduler = ASHAScheduler(grace_period=plan.grace, reduction_factor=plan.reduction, max_t=plan.epochs)
    results = tune.Tuner(
        tune.with_resources(train_mnist, {"cpu": 1}),
        param_space={"plan": sys.argv[1], "trial": tune.grid_search(list(range(len(plan.configs))))},
        tune_config=tune.TuneConfig(metric="mean_accuracy", mode="max", scheduler=scheduler),
    ).fit()
    assert not results.errors, results.errors
    print("Best config is:", results.get_best_result().config)


if __name__ == "__main__":
    main()
