"""Population based training, but for how new values are found: trials side by side, the worst copying the best.

Source: Jaderberg et al., Population Based Training of Neural Networks, 2017, arXiv:1711.09846.
"""

from __future__ import annotations

import hashlib
import math
import random
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raytune_app.spec.domains import Domain
from raytune_app.tuning.schedule.base import GO_ON, Judgement, Resumption, Schedule, Verdict

_ROUNDING = 1e-9
"""A quantile of 0.29 of 100 members is 29 members, though the product is a little less."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a member gained between two perturbations.

    Attributes:
        epoch: at its end.
        values: that it trained with.
        gain: of the score, per epoch; finite.
    """

    epoch: int
    values: Mapping[str, Any]
    gain: float


@dataclass(slots=True)
class _Member:
    """One trial; `saved` is the (epoch, score) of its own state since it last copied one, `base` that it goes on from.

    `passed` is the last perturbation that it went on from.
    """

    values: dict[str, Any]
    epoch: int = 0
    score: float = math.nan
    saved: tuple[int, float] | None = None
    base: tuple[int, float] | None = None
    passed: int = 0
    is_waiting: bool = False

    @property
    def rank(self) -> float:
        return -math.inf if math.isnan(self.score) else self.score


@dataclass(frozen=True, slots=True)
class PopulationRules:
    """When a population is judged, and what may change.

    Attributes:
        domains: those that are perturbed, by dotted path.
        interval: epochs between perturbations.
        quantile: the worst such share copies from the best such share; at most 0.5.
        lockstep: all are judged together.
        epochs: the last epoch: no perturbation there.
        members: how many trials there will be.
        seed: of all that is random.
    """

    domains: Mapping[str, Domain]
    interval: int
    quantile: float
    lockstep: bool
    epochs: int
    members: int
    seed: int


class Population(Schedule):
    """Every member pauses at each multiple of `interval` below the last epoch; the worst then copy from the best.

    Of n members the last max(1, floor(n * quantile)) by their last score copy, each the state and the values of one of
    the first as many, drawn at random, with new values for the perturbed domains; the others go on as they are. A score
    that is not a number is the worst and never copied; members that ended count no more.

    In lockstep all living members are judged together, once all of them wait, copies first, so that a source still has
    the state that was judged. Should members have come unequally far, those that lag behind are judged first. Otherwise
    each is judged when it pauses, against the latest scores of all, and those with the fewest epochs go on first, the
    best first among them. Nobody goes on before the whole population has started, or `more` is False.

    What is random follows from (seed, epoch of the perturbation, trial).
    """

    def __init__(self, rules: PopulationRules) -> None:
        self._rules, self._domains = rules, rules.domains
        self._members: dict[int, _Member] = {}
        self._ended: set[int] = set()
        self._plan: dict[int, Resumption] = {}
        """Who goes on how. In lockstep it may still change until the first of a round has gone on."""
        self._is_settled = False
        self._stretches: list[Stretch] = []

    @property
    def copies(self) -> bool:
        return True

    @abstractmethod
    def _explore(
        self, values: Mapping[str, Any], epoch: int, beside: Sequence[Mapping[str, Any]], rng: random.Random
    ) -> dict[str, Any]:
        """New values for the perturbed domains, every one inside its domain.

        Args:
            values: of the member that is copied.
            epoch: of the perturbation.
            beside: the values of those who train meanwhile.
            rng: all that may be random.
        """

    def started(self, trial: int, values: Mapping[str, Any]) -> None:
        self._members[trial] = _Member(dict(values))
        self._unsettle()

    def readmitted(self, trial: int, values: Mapping[str, Any]) -> None:
        self._ended.discard(trial)
        self._members[trial].is_waiting = False

    def report(self, trial: int, epoch: int, score: float) -> Judgement:
        """Every member pauses at a perturbation, except one that went on from it before and trains it once more."""
        member = self._members[trial]
        member.epoch, member.score = epoch, score
        if epoch % self._rules.interval or epoch >= self._rules.epochs or epoch <= member.passed:
            return GO_ON
        return Judgement(Verdict.PAUSE, rung=epoch)

    def paused(self, trial: int) -> None:
        member = self._members[trial]
        member.is_waiting, member.saved = True, (member.epoch, member.score)
        self._remember(member)
        self._unsettle()
        if not self._rules.lockstep:
            self._plan[trial] = self._judge_alone(trial)

    def resumptions(self, *, more: bool) -> list[Resumption]:
        if more and len(self._members) < self._rules.members:
            return []
        self._judge_round()
        return sorted(self._plan.values(), key=self._urgency)

    def resumed(self, resumption: Resumption) -> None:
        self._judge_round()
        self._plan.pop(resumption.trial, None)
        self._is_settled = bool(self._plan)
        member, source = self._members[resumption.trial], self._members[resumption.source]
        member.values.update(resumption.values)
        member.base = None if source.saved is None else (member.epoch, source.saved[1])
        member.passed, member.is_waiting = member.epoch, False
        if member is not source:
            member.saved = None

    def ended(self, trial: int) -> None:
        self._ended.add(trial)
        self._members[trial].is_waiting = False
        self._plan.pop(trial, None)
        self._is_settled = self._is_settled and bool(self._plan)
        self._unsettle()

    def _unsettle(self) -> None:
        if self._rules.lockstep and not self._is_settled:
            self._plan = {}

    def _remember(self, member: _Member) -> None:
        if member.base is None:
            return
        epoch, score = member.base
        gain = (member.score - score) / (member.epoch - epoch)
        if math.isfinite(gain):
            self._stretches.append(Stretch(member.epoch, dict(member.values), gain))

    def _urgency(self, resumption: Resumption) -> tuple[float, float, int]:
        member = self._members[resumption.trial]
        if self._rules.lockstep:
            return resumption.source == resumption.trial, 0, resumption.trial
        return member.epoch, -member.rank, resumption.trial

    def _living(self) -> list[int]:
        return [trial for trial in self._members if trial not in self._ended]

    def _judge_round(self) -> None:
        """In lockstep, once all wait: decide for those that have come least far, which as a rule are all."""
        living = self._living()
        if not self._rules.lockstep or self._plan or not living:
            return
        if all(self._members[trial].is_waiting for trial in living):
            first = min(self._members[trial].epoch for trial in living)
            self._plan = self._round([trial for trial in living if self._members[trial].epoch == first])

    def _round(self, cohort: list[int]) -> dict[int, Resumption]:
        worst, best = self._quantiles(cohort)
        copying = [trial for trial in sorted(cohort) if trial in worst and best]
        going_on = [trial for trial in sorted(cohort) if trial not in copying]
        beside = [self._members[trial].values for trial in going_on]
        plan = {trial: Resumption(trial, trial, "continued") for trial in going_on}
        for trial in copying:
            plan[trial] = self._copy(trial, best, beside)
            beside.append({**self._members[trial].values, **plan[trial].values})
        return plan

    def _judge_alone(self, trial: int) -> Resumption:
        """Before the whole population has started there is nothing to compare with."""
        living = [other for other in self._living() if self._members[other].epoch]
        worst, best = self._quantiles(living)
        if len(self._members) < self._rules.members or trial not in worst or not best:
            return Resumption(trial, trial, "continued")
        training = [self._members[other].values for other in living if not self._members[other].is_waiting]
        return self._copy(trial, best, training)

    def _quantiles(self, trials: Collection[int]) -> tuple[set[int], list[int]]:
        """The worst, and those of the best that can be copied; no trial is both."""
        ranked = sorted(trials, key=lambda trial: (-self._members[trial].rank, trial))
        count = min(max(1, math.floor(len(ranked) * self._rules.quantile + _ROUNDING)), len(ranked) // 2)
        best = [trial for trial in ranked[:count] if self._is_copyable(self._members[trial])]
        return set(ranked[len(ranked) - count :]), best

    def _is_copyable(self, member: _Member) -> bool:
        return member.saved is not None and not math.isnan(member.score)

    def _copy(self, trial: int, best: Sequence[int], beside: Sequence[Mapping[str, Any]]) -> Resumption:
        member = self._members[trial]
        rng = _rng(self._rules.seed, member.epoch, trial)
        source = rng.choice(best)
        values = self._members[source].values
        new = self._explore(values, member.epoch, beside, rng)
        inherited = {path: value for path, value in values.items() if member.values.get(path) != value}
        return Resumption(trial, source, "copied", inherited | new)


def _rng(*key: int) -> random.Random:
    return random.Random(hashlib.sha256(repr(key).encode()).digest())
