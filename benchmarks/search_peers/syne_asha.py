"""A contender of benchmarks/search.py: Syne Tune's ASHA on its local backend, all else as by default.

Runs in an environment of its own, which has Syne Tune.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from syne_tune import StoppingCriterion, Tuner  # type: ignore[import-not-found]  # in an environment of its own
from syne_tune.backend import LocalBackend  # type: ignore[import-not-found]
from syne_tune.config_space import randint  # type: ignore[import-not-found]
from syne_tune.optimizer.baselines import ASHA  # type: ignore[import-not-found]

from benchmarks.search_peers.plan import Plan

LIMIT_S = 24 * 3600


class ListedAsha(ASHA):  # type: ignore[misc]  # the same
    """ASHA over the given points and no others."""

    def suggest(self) -> Any:
        return super().suggest() if self.searcher.points_to_evaluate else None


def main() -> None:
    """Run the study that the plan named on the command line asks for."""
    plan = Plan.read(sys.argv[1])
    count = len(plan.configs)
    scheduler = ListedAsha(
        {"trial": randint(0, count - 1), "plan": sys.argv[1]},
        metric="accuracy",
        time_attr="epoch",
        max_t=plan.epochs,
        do_minimize=False,
        grace_period=plan.grace,
        reduction_factor=plan.reduction,
        points_to_evaluate=[{"trial": number} for number in range(count)],
    )
    Tuner(
        trial_backend=LocalBackend(entry_point=str(Path(__file__).with_name("syne_trial.py"))),
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(max_wallclock_time=LIMIT_S),
        n_workers=plan.slots,
    ).run()


if __name__ == "__main__":
    main()
