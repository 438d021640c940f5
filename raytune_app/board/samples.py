"""A search as the figures see it: what each trial tried and what came of it; and who is left out of a crowd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from raytune_app.errors import InputError
from raytune_app.spec.domains import Domain
from raytune_app.spec.grammar import Experiment, ObjectiveSpec
from raytune_app.tuning.view import Role, StudyView, TrialState, TrialView

T = TypeVar("T")

ENDED = frozenset({TrialState.FINISHED, TrialState.STOPPED, TrialState.PAUSED})
LOST = frozenset({TrialState.DIVERGED, TrialState.FAILED})
BEST_EPOCH = "each trial's best epoch, however many it trained"
"""What a reader has to know of a value; for the note below a title."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One trial of the search.

    Attributes:
        config: the values at its best epoch, by dotted path; what the domains do not hold (any more) is left out.
        epoch: its best one by the first objective; 0 if none has all objectives.
        values: every objective's metric at that epoch; empty if there is none.
        curve: the metric that is looked at, by epoch; what is not finite is left out.
    """

    number: int
    state: TrialState
    config: dict[str, Any]
    epoch: int
    values: tuple[float, ...]
    curve: dict[int, float]

    @property
    def counts(self) -> bool:
        """True if it came to an end, and to a value."""
        return self.state in ENDED and bool(self.values)


@dataclass(frozen=True)
class Search:
    """The trials of a study's search; those that confirm, compare or refit are no part of it: nobody searched there.

    Attributes:
        index: which objective is looked at.
        samples: all, by number.
        counted: those with a value.
        settings: the searched settings that have more than one value among the counted, in the file's order.
    """

    experiment: Experiment
    view: StudyView
    index: int
    samples: list[Sample]
    counted: list[Sample]
    settings: dict[str, Domain]

    @classmethod
    def of(cls, experiment: Experiment, view: StudyView, objective: str | None = None) -> Search:
        """Gather the search, of one objective. Raises InputError if the experiment has no such objective."""
        metrics = [str(each.metric) for each in experiment.objectives]
        if objective is not None and objective not in metrics:
            raise InputError(f"{objective!r} is no objective of the study", f"one of {', '.join(metrics)}")
        index = metrics.index(objective) if objective else 0
        domains = experiment.domains()
        samples = [_sample(trial, experiment.objectives, index, domains) for trial in view.of_role(Role.SEARCH)]
        counted = [sample for sample in samples if sample.counts]
        settings = {path: domain for path, domain in domains.items() if varies(counted, path)}
        return cls(experiment, view, index, samples, counted, settings)

    @property
    def objective(self) -> ObjectiveSpec:
        return self.experiment.objectives[self.index]

    @property
    def metric(self) -> str:
        return str(self.objective.metric)

    def value(self, sample: Sample) -> float:
        """The metric that is looked at, as measured."""
        return sample.values[self.index]

    def score(self, sample: Sample) -> float:
        """The same, larger is better."""
        return self.objective.sign * sample.values[self.index]

    def ranked(self) -> list[Sample]:
        """The counted, best first; of equals the earliest."""
        return sorted(self.counted, key=lambda sample: (-self.score(sample), sample.number))

    def setting(self, path: str) -> str:
        """The path, if it can be drawn. Raises InputError."""
        if path not in self.settings:
            known = ", ".join(self.settings) or "none so far"
            raise InputError(f"{path!r} is no setting with several values in this study", f"one of: {known}")
        return path

    def thinned(self, limit: int, keep: Callable[[Sample], bool] | None = None) -> tuple[list[Sample], list[str]]:
        """At most `limit` of the counted, evenly by number, with the best always among them; and a note that says so.

        Args:
            keep: those that must stay; they may go over the limit.
        """
        best = {sample.number for sample in self.ranked()[:1]}
        return thin(self.counted, limit, lambda one: one.number in best or (keep is not None and keep(one)))


def thin(items: Sequence[T], limit: int, keep: Callable[[T], bool]) -> tuple[list[T], list[str]]:
    """At most about `limit` items in their order: those to keep, and others evenly; and a note if some are left out."""
    if len(items) <= limit:
        return list(items), []
    kept = [keep(item) for item in items]
    room, others = max(0, limit - sum(kept)), max(1, len(items) - sum(kept))
    chosen, rest = [], 0
    for item, stays in zip(items, kept, strict=True):
        if stays or (rest + 1) * room // others > rest * room // others:
            chosen.append(item)
        rest += not stays
    return chosen, [f"{len(chosen):,} of {len(items):,} trials drawn"]


def varies(samples: Sequence[Sample], path: str) -> bool:
    """True if these trials have more than one value of the setting."""
    return len({repr(sample.config[path]) for sample in samples if path in sample.config}) > 1


def _sample(trial: TrialView, objectives: Sequence[ObjectiveSpec], index: int, domains: Mapping[str, Domain]) -> Sample:
    metrics = [each.metric for each in objectives]
    best = trial.best(metrics[0], objectives[0].sign, *metrics[1:])
    curve = {row["epoch"]: row[metrics[index]] for row in trial.epochs if row.get(metrics[index]) is not None}
    config = trial.stints[trial.stint_of(best["epoch"])].config if best and len(trial.stints) > 1 else trial.config
    held = {path: config[path] for path, domain in domains.items() if path in config and domain.holds(config[path])}
    values = tuple(float(best[metric]) for metric in metrics) if best else ()
    return Sample(trial.number, trial.state, held, best["epoch"] if best else 0, values, curve)
