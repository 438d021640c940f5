"""Optuna's samplers as this product sets them up, quietly."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import optuna
import torch
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.samplers.nsgaii import BLXAlphaCrossover, PolynomialMutation
from optuna.trial import FrozenTrial

optuna.logging.set_verbosity(optuna.logging.ERROR)

STARTUP_TRIALS = {"tpe": 10, "gp": 10, "cmaes": 1, "nsga2": 16}
"""Where the experiment does not say. Optuna's 50 for NSGA-II would make most studies a random search."""
_WARM_SHARE = 10
"""CMA-ES starts from the best tenth of what it knows, which has to be one at least."""


def build_sampler(
    name: str, objectives: int, seed: int, startup_trials: int | None, known: Sequence[FrozenTrial]
) -> BaseSampler:
    """A fresh sampler.

    Args:
        name: `tpe` (Watanabe, arXiv:2304.11127), `gp` (a Gaussian process with logarithmic expected improvement),
            `cmaes` (Hansen, arXiv:1604.00772) or `nsga2` (Deb et al., 2002).
        objectives: one or two; `cmaes` knows one only.
        seed: of all its random numbers, below 2**32.
        startup_trials: random configurations before the model, which for `nsga2` are a population. None: as listed in
            STARTUP_TRIALS.
        known: scored trials of other studies. CMA-ES starts from these (Nomura et al., arXiv:2012.06932); the others
            find them in the study.
    """
    startup = startup_trials or STARTUP_TRIALS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if name == "tpe":
            return _tpe(seed, startup, objectives)
        if name == "gp":
            return GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
        if name == "nsga2":
            return _nsga2(seed, max(startup, 2))
        assert name == "cmaes", name
        source = list(known) * math.ceil(_WARM_SHARE / len(known)) if known else None
        return CmaEsSampler(seed=seed, n_startup_trials=startup, source_trials=source, warn_independent_sampling=False)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes in one thread, as a Gaussian process does best beside trials that keep all processors busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _tpe(seed: int, startup: int, objectives: int) -> BaseSampler:
    """Parameters modelled together for one objective, each by itself for two; trials that run count as bad ones."""
    return TPESampler(seed=seed, n_startup_trials=startup, multivariate=objectives == 1, constant_liar=True)


def _nsga2(seed: int, population: int) -> BaseSampler:
    """Crossover and mutation that move numbers a little; Optuna's default copies them, or draws them anew."""
    crossover, mutation = BLXAlphaCrossover(), PolynomialMutation()
    return NSGAIISampler(seed=seed, population_size=population, crossover=crossover, mutation=mutation)
