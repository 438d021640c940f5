"""A contender of benchmarks/search.py: Optuna with its halving pruner, two processes over a journal file.

Optuna spreads a study by starting the same script again on the same storage; the first process here starts the others.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.search_peers.plan import Plan
from benchmarks.search_peers.training import train

MODULE = "benchmarks.search_peers.optuna_workers"


def work(plan: Plan, study: optuna.Study) -> None:
    """Train enqueued configurations until none is left."""

    def objective(trial: optuna.Trial) -> float:
        if trial.number >= len(plan.configs):
            study.stop()
            raise optuna.TrialPruned
        accuracy = 0.0
        for epoch, accuracy in enumerate(train(plan, trial.suggest_int("trial", 0, len(plan.configs) - 1)), 1):
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    study.optimize(objective)


def main() -> None:
    """Run the study that the plan named on the command line asks for; a second argument makes this a further worker."""
    plan = Plan.read(sys.argv[1])
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(Path.home() / "journal.log"))),
        study_name="search",
        direction="maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=plan.grace, reduction_factor=plan.reduction),
        load_if_exists=True,
    )
    if len(sys.argv) > 2:
        work(plan, study)
        return
    for number in range(len(plan.configs)):
        study.enqueue_trial({"trial": number})
    command = [sys.executable, "-m", MODULE, sys.argv[1], "worker"]
    others = [subprocess.Popen(command) for _ in range(plan.slots - 1)]  # noqa: S603  # ourselves
    work(plan, study)
    codes = [other.wait() for other in others]
    assert not any(codes), codes
    print("Best trial:", study.best_trial.params, study.best_value)


if __name__ == "__main__":
    main()
