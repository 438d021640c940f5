"""A contender of benchmarks/search.py: this product, from the experiment to the winner."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.search_peers.plan import Plan
from raytune_app.cluster import connect
from raytune_app.spec import Experiment, parse
from raytune_app.storage import Storage

TUNED = ("lr", "batch_size", "optimizer", "weight_decay")

SCHEDULERS: dict[str, dict[str, Any]] = {"raytune": {"name": "asha"}, "halving": {"name": "hyperband", "brackets": 1}}


def experiment_of(plan: Plan) -> Experiment:
    """The search as an experiment file; without batch norm `conv_net` is the peers' network."""
    return parse(
        {
            "name": "search",
            "seed": plan.seed,
            "data": {"name": "mnist", "train_limit": plan.images, "validation": plan.validation},
            "model": {"name": "conv_net", "blocks": 2, "width": 32, "kernel": 3, "batch_norm": False},
            "train": {
                "epochs": plan.epochs,
                "momentum": 0.9,
                "speed": "auto",
                **{name: {"choice": sorted({config[name] for config in plan.configs})} for name in TUNED},
            },
            "search": {"points": [{f"train.{name}": config[name] for name in TUNED} for config in plan.configs]},
            "scheduler": {"grace": plan.grace, "reduction": plan.reduction, **SCHEDULERS[plan.contender]},
            "trials": len(plan.configs),
            "resources": {"cpus": 1},
        }
    )


def main() -> None:
    """Run the study that the plan named on the command line asks for."""
    plan = Plan.read(sys.argv[1])

    def observe(event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            plan.record(event["trial"], event["epoch"], event["accuracy"], event["epoch_s"])

    with connect(cpus=plan.slots, gpus=0, meanwhile="raytune_app.tuning.study"):
        from raytune_app.tuning import study

        outcome = study.tune(study.prepare(experiment_of(plan), Storage(str(Path.home() / "storage"))), [observe])
        plan.note(f"speed chosen: {outcome.folder.record()['speed']['speed']}")


if __name__ == "__main__":
    main()
