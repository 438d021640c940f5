"""The schedules by name."""

from __future__ import annotations

from raytune_app.spec.grammar import (
    AshaPromotionSpec,
    AshaSpec,
    Experiment,
    FifoSpec,
    HyperbandSpec,
    MedianSpec,
    Pb2Spec,
    PbtSpec,
)
from raytune_app.tuning.schedule.asha import Asha
from raytune_app.tuning.schedule.base import Schedule
from raytune_app.tuning.schedule.fifo import Fifo
from raytune_app.tuning.schedule.hyperband import Hyperband
from raytune_app.tuning.schedule.median import Median
from raytune_app.tuning.schedule.pb2 import Pb2
from raytune_app.tuning.schedule.pbt import Pbt
from raytune_app.tuning.schedule.population import Population, PopulationRules
from raytune_app.tuning.schedule.promotion import AshaPromotion
from raytune_app.tuning.space import trial_count


def build_schedule(experiment: Experiment) -> Schedule:
    """The schedule of an experiment, before anything has happened."""
    scheduler, epochs = experiment.scheduler, experiment.train.epochs
    match scheduler:
        case FifoSpec():
            return Fifo()
        case AshaSpec():
            return Asha(scheduler.grace, scheduler.reduction, epochs)
        case AshaPromotionSpec():
            return AshaPromotion(scheduler.grace, scheduler.reduction, epochs)
        case HyperbandSpec():
            return Hyperband(scheduler.grace, scheduler.reduction, epochs, trial_count(experiment), scheduler.brackets)
        case MedianSpec():
            return Median(scheduler.grace, scheduler.min_trials)
        case PbtSpec() | Pb2Spec():
            return _build_population(experiment, scheduler)


def _build_population(experiment: Experiment, scheduler: PbtSpec | Pb2Spec) -> Population:
    rules = PopulationRules(
        domains={path: domain for path, domain in experiment.domains().items() if domain.perturb},
        interval=scheduler.interval,
        quantile=scheduler.quantile,
        lockstep=scheduler.lockstep,
        epochs=experiment.train.epochs,
        members=trial_count(experiment),
        seed=experiment.seed,
    )
    if isinstance(scheduler, Pb2Spec):
        return Pb2(rules)
    return Pbt(rules, resample=scheduler.resample, factors=scheduler.factors)
