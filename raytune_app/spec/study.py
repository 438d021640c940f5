"""How a study goes about its trials: objective, search, scheduler, resources, budget, and the winner's fate."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from raytune_app.spec.trial import Section
from raytune_app.spec.values import Integer, Keyword, Name, Number, Option, Positive


class Metric(StrEnum):
    """What a study can optimise, measured on the validation part after each epoch."""

    ACCURACY = "accuracy"
    LOSS = "loss"
    MACRO_PRECISION = "macro_precision"
    MACRO_RECALL = "macro_recall"
    MACRO_F1 = "macro_f1"
    PARAMETERS = "parameters"
    """Numbers that training adjusts: the same after every epoch."""
    LATENCY_MS = "latency_ms"
    """Of one example on a CPU thread of the trial, of texts the longest, as ids: measured once a trial, since weights
    do not change it."""


COSTS = frozenset({Metric.PARAMETERS, Metric.LATENCY_MS})
"""Metrics that say what an answer costs, not how good it is: a second objective only."""


class Mode(StrEnum):
    """Whether more of a metric is better, or less."""

    MAX = "max"
    MIN = "min"


def _known_metric(value: Any) -> Any:
    return Metric(value) if value in list(Metric) else value


def _mode_of(objective: dict[str, Any]) -> Mode:
    return Mode.MIN if objective["metric"] in {Metric.LOSS, *COSTS} else Mode.MAX


class ObjectiveSpec(Section):
    """What makes one trial better than another."""

    metric: Annotated[Metric | Keyword, BeforeValidator(_known_metric)] = Metric.ACCURACY
    """One of Metric; with `trial:`, any name that the user's own training yields."""
    mode: Mode = Field(default_factory=_mode_of)
    """Follows from the metric: `min` for `loss` and costs, `max` for the others."""

    @model_validator(mode="after")
    def _mode_looks_for_the_best(self) -> Self:
        right = _mode_of({"metric": self.metric})
        if isinstance(self.metric, Metric) and self.mode is not right:
            raise ValueError(
                f"mode {self.mode} would look for the worst {self.metric}; leave mode out or set it to {right}"
            )
        return self

    @property
    def sign(self) -> int:
        """+1 if larger is better, -1 if smaller is."""
        return 1 if self.mode is Mode.MAX else -1


class PickSpec(Section):
    """Which of a Pareto set wins."""

    within: Positive | None = None
    """Among those whose first objective is at most this far from the best one, the best in the second. None: the knee,
    the trial nearest to the ideal point when both objectives are scaled to [0, 1]."""


class SearchSpec(Section):
    """Where configurations come from."""

    name: Literal["random", "grid", "quasirandom", "tpe", "gp", "cmaes", "nsga2"] = "random"
    points: tuple[dict[str, Option], ...] = ()
    """Configurations to try first, by dotted path (`train.lr: 0.01`); what a point leaves out is searched."""
    warm_start: Name | None = None
    """A study of the same storage whose trials the searcher learns from before its first suggestion."""
    startup_trials: Annotated[Integer, Field(ge=1)] | None = None
    """Random configurations before a searcher trusts its model. None: the searcher's own default."""


class FifoSpec(Section):
    """Every trial runs to its last epoch."""

    name: Literal["fifo"]


class RungsSpec(Section):
    """Where trials are judged: after `grace` epochs, then each time after `reduction` times as many."""

    grace: Annotated[Integer, Field(ge=1)] = 1
    """Epochs every trial gets before the first decision."""
    reduction: Annotated[Integer, Field(ge=2, le=64)] = 3
    """At each rung the best 1/reduction go on."""


class AshaSpec(RungsSpec):
    """Asynchronous successive halving, stopping variant (Li et al., MLSys 2020)."""

    name: Literal["asha"]


class AshaPromotionSpec(RungsSpec):
    """Asynchronous successive halving as in the paper: a trial pauses at a rung and goes on only when promoted."""

    name: Literal["asha_promotion"]


class HyperbandSpec(RungsSpec):
    """Hyperband (Li et al., JMLR 2018): brackets of successive halving, from many short trials to few long ones."""

    name: Literal["hyperband"]
    brackets: Annotated[Integer, Field(ge=1)] | None = None
    """Only the first so many, which stop the most, once, all trials among them; 1 is successive halving. None: rounds
    of all, as large as in the paper."""


class MedianSpec(Section):
    """Stop a trial whose best is worse than the median of the others' running means (Golovin et al., KDD 2017)."""

    name: Literal["median"]
    grace: Annotated[Integer, Field(ge=1)] = 1
    min_trials: Annotated[Integer, Field(ge=1)] = 3
    """Other trials that must have come as far before one is stopped."""


class PopulationSpec(Section):
    """Trials that train side by side; at each perturbation the worst copy the best and try other values."""

    interval: Annotated[Integer, Field(ge=1)] = 1
    """Epochs between perturbations."""
    quantile: Annotated[Number, Field(gt=0, le=0.5)] = 0.25
    """The worst such share copies from the best such share."""
    lockstep: bool = True
    """Perturb when the whole population has come as far. False: each trial as it comes, among those seen so far."""


class PbtSpec(PopulationSpec):
    """Population based training (Jaderberg et al., 2017, arXiv:1711.09846)."""

    name: Literal["pbt"]
    resample: Annotated[Number, Field(ge=0, le=1)] = 0.25
    """Probability that a value is drawn anew from its domain instead of perturbed."""
    factors: tuple[Positive, Positive] = (0.8, 1.2)
    """A number is multiplied by one of these and kept inside its domain; a listed value moves to a neighbour."""


class Pb2Spec(PopulationSpec):
    """Population based bandits (Parker-Holder et al., NeurIPS 2020): new values by a time-varying Gaussian process."""

    name: Literal["pb2"]


SchedulerSpec = Annotated[
    FifoSpec | AshaSpec | AshaPromotionSpec | HyperbandSpec | MedianSpec | PbtSpec | Pb2Spec,
    Field(discriminator="name"),
]


class ResourcesSpec(Section):
    """What one trial takes, and how many run at once."""

    cpus: Annotated[Integer, Field(ge=1)] = 1
    gpus: Annotated[Number, Field(ge=0)] | Literal["auto"] = "auto"
    """GPUs for one trial; a fraction shares one, its memory too. `auto`: where there is a GPU the share that a trial's
    measured peak needs (a whole one with `speed: plain`, which measures nothing), none where there is none."""
    memory_mb: Annotated[Integer, Field(ge=1)] | None = None
    """Main memory that Ray sets aside for a trial. None: Ray does not count it."""
    custom: dict[str, Annotated[Number, Field(gt=0)]] = Field(default_factory=dict)
    """Ray's custom resources, by name."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that a node must have."""
    concurrent: Annotated[Integer, Field(ge=1)] | None = None
    """At most this many trials at once. None: as many as fit."""

    @model_validator(mode="after")
    def _gpus_are_shareable(self) -> Self:
        if isinstance(self.gpus, float) and self.gpus > 1 and not self.gpus.is_integer():
            raise ValueError(f"gpus {self.gpus} spans GPUs with a fraction; use a fraction below 1 or a whole number")
        return self


class BudgetSpec(Section):
    """What ends the search early, whichever comes first; all off by default."""

    wall_time_s: Positive | None = None
    epochs: Annotated[Integer, Field(ge=1)] | None = None
    """Epochs trained over all trials."""
    device_hours: Positive | None = None
    """Hours of training over all trials, times the GPUs of each, or its CPUs where it has no GPU."""
    target: Number | None = None
    """Stop as soon as a trial's objective is at least this good."""
    plateau: Annotated[Integer, Field(ge=1)] | None = None
    """Stop after this many ended trials in a row of which none was better than the best before."""


class FoldsSpec(Section):
    """Cross-validation inside each trial; the metric is the mean over the folds."""

    k: Annotated[Integer, Field(ge=2)] | Literal["loo"]
    """Stratified folds; `loo` leaves out one picture at a time."""
    limit: Annotated[Integer, Field(ge=2)] = 100
    """More folds than this are refused: each is a whole training."""


class ConfirmSpec(Section):
    """Train the best again with fresh seeds, and choose by the mean."""

    top_k: Annotated[Integer, Field(ge=1, le=100)] = 3
    seeds: Annotated[Integer, Field(ge=2, le=100)] = 3
    baseline: bool = True
    """Train the defaults' configuration too, and test the winner against it on the test part."""


class FailuresSpec(Section):
    """What happens to trials that crash; a lost node never counts."""

    trial_retries: Annotated[Integer, Field(ge=0, le=100)] = 2
    """How often a trial whose process died goes on from its checkpoint. An error of its own code is not retried."""
    max_failed_trials: Annotated[Integer, Field(ge=1)] = 3
    """After so many failed trials the study pauses; `raytune resume` goes on."""


class KeepSpec(Section):
    """Which checkpoints stay: the best and the last of each living trial, the best of the best ended trials."""

    top_k: Annotated[Integer, Field(ge=1)] = 3
    disk_mb: Positive | None = None
    """Checkpoints of ended trials go earlier, the worst first, while all together take more. None: no limit."""


class ParallelSpec(Section):
    """Several processes train one trial, on different parts of each batch; `train.batch_size` is that of all together.

    What `resources` says of a trial is then what each of its processes takes.
    """

    kind: Literal["ddp", "fsdp"] = "ddp"
    """`ddp`: every process has the whole network; `fsdp`: each has a share of it."""
    workers: Annotated[Integer, Field(ge=2, le=1024)]


class RegisterSpec(Section):
    """Under which name the winner becomes a model version, and which alias then points to it."""

    model: Name
    alias: Name | None = "champion"
