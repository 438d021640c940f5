"""Laws of every schedule, in small made-up studies with failures, scores that are no numbers and any order."""

import copy
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytune_app.spec.domains import Domain, parse_domain
from raytune_app.tuning.schedule.asha import Asha
from raytune_app.tuning.schedule.base import Resumption, Schedule, Verdict
from raytune_app.tuning.schedule.fifo import Fifo
from raytune_app.tuning.schedule.hyperband import Hyperband
from raytune_app.tuning.schedule.median import Median
from raytune_app.tuning.schedule.pb2 import Pb2
from raytune_app.tuning.schedule.pbt import Pbt
from raytune_app.tuning.schedule.population import Population, PopulationRules
from raytune_app.tuning.schedule.promotion import AshaPromotion
from raytune_app.tuning.schedule.replay import Replay

DOMAINS: dict[str, Domain] = {
    "train.lr": parse_domain({"loguniform": [1e-4, 1e-1], "perturb": True}),
    "train.batch_size": parse_domain({"randint": [8, 64], "perturb": True}),
}


@dataclass(frozen=True)
class Shape:
    """Of a study: how many trials, epochs and slots; how rungs lie; how often trials fail or have no score."""

    trials: int
    epochs: int
    slots: int
    first: int
    reduction: int
    failures: float
    no_numbers: float
    seed: int


def _rules(shape: Shape, *, lockstep: bool) -> PopulationRules:
    return PopulationRules(DOMAINS, shape.first, 0.34, lockstep, shape.epochs, shape.trials, shape.seed)


BUILDERS: dict[str, Callable[[Shape], Schedule]] = {
    "fifo": lambda _: Fifo(),
    "asha": lambda shape: Asha(shape.first, shape.reduction, shape.epochs),
    "asha_promotion": lambda shape: AshaPromotion(shape.first, shape.reduction, shape.epochs),
    "hyperband": lambda shape: Hyperband(shape.first, shape.reduction, shape.epochs, shape.trials),
    "hyperband, too few trials foreseen": lambda shape: Hyperband(shape.first, shape.reduction, shape.epochs, 3),
    "median": lambda shape: Median(shape.first, shape.reduction),
    "pbt": lambda shape: Pbt(_rules(shape, lockstep=True)),
    "pbt, each by itself": lambda shape: Pbt(_rules(shape, lockstep=False)),
    "pb2": lambda shape: Pb2(_rules(shape, lockstep=True)),
    "pb2, each by itself": lambda shape: Pb2(_rules(shape, lockstep=False)),
    "replay": lambda shape: Replay([(epoch, {"train.lr": epoch / 100}) for epoch in range(2, shape.epochs, 2)]),
}
every_schedule = pytest.mark.parametrize("name", BUILDERS)
shapes = st.builds(
    Shape,
    trials=st.integers(1, 9),
    epochs=st.integers(1, 9),
    slots=st.integers(1, 10),
    first=st.integers(1, 3),
    reduction=st.integers(2, 4),
    failures=st.sampled_from([0.0, 0.05, 0.3]),
    no_numbers=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 2**31),
)


@dataclass
class Study:
    """A study on `slots` slots that does what its schedule says, until nothing is left to do."""

    shape: Shape
    schedule: Schedule
    epoch: dict[int, int] = field(default_factory=dict)
    values: dict[int, dict[str, Any]] = field(default_factory=dict)
    training: list[int] = field(default_factory=list)
    pausing: list[int] = field(default_factory=list)
    waiting: set[int] = field(default_factory=set)
    saved: set[int] = field(default_factory=set)
    scores: dict[tuple[int, int], float] = field(default_factory=dict)
    worthless: set[int] = field(default_factory=set)
    """Trials that went on from a judgement without a number."""
    calls: list[tuple[str, tuple[Any, ...], Any]] = field(default_factory=list)
    """What was called, with what, and what came back; for the queries, what they would answer."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.shape.seed)

    @property
    def more(self) -> bool:
        return len(self.epoch) < self.shape.trials

    def run(self) -> "Study":
        budget = 50 + 20 * self.shape.trials * self.shape.epochs
        while self._fill() or self.training or self.pausing:
            budget -= 1
            assert budget, "the study goes round in circles"
            self._step()
        assert not self.more, "nothing trains, nothing may be resumed, and no new trial is admitted"
        return self

    def _call(self, name: str, *args: Any) -> Any:
        answer = getattr(self.schedule, name)(*args)
        self.calls.append((name, copy.deepcopy(args), answer))
        return answer

    def _query(self) -> list[Resumption]:
        answer = self.schedule.resumptions(more=self.more)
        self.calls.append(("resumptions", (self.more,), answer))
        return answer

    def _fill(self) -> bool:
        """Fill free slots; true if anything has begun."""
        began = False
        while len(self.training) + len(self.pausing) < self.shape.slots:
            offered = self._query()
            assert len({each.trial for each in offered}) == len(offered)
            for each in offered:
                assert each.trial in self.waiting, "only who waits can go on"
                assert each.source in self.saved, "there is no state to go on from"
                assert self.schedule.copies or each.source == each.trial
            if offered:
                self._resume(offered[0])
            elif self.more and self.schedule.admits():
                self._start()
            else:
                return began
            began = True
        return began

    def _start(self) -> None:
        trial = len(self.epoch)
        self.epoch[trial] = 0
        self.values[trial] = {path: domain.sample(self.rng) for path, domain in DOMAINS.items()}
        self._call("started", trial, self.values[trial])
        self.training.append(trial)

    def _resume(self, resumption: Resumption) -> None:
        self._call("resumed", resumption)
        self.waiting.remove(resumption.trial)
        self.training.append(resumption.trial)
        if math.isnan(self.scores[resumption.trial, self.epoch[resumption.trial]]):
            self.worthless.add(resumption.trial)
        self.values[resumption.trial] |= resumption.values

    def _step(self) -> None:
        """One slot does one thing."""
        if self.pausing and self.rng.random() < 0.5:
            trial = self.pausing.pop(self.rng.randrange(len(self.pausing)))
            self._call("paused", trial)
            self.waiting.add(trial)
            self.saved.add(trial)
        elif self.training:
            self._train(self.training[self.rng.randrange(len(self.training))])

    def _train(self, trial: int) -> None:
        if self.rng.random() < self.shape.failures:
            self._end(trial)
            return
        self.epoch[trial] += 1
        assert self.epoch[trial] <= self.shape.epochs
        score = math.nan if self.rng.random() < self.shape.no_numbers else self.rng.random()
        self.scores[trial, self.epoch[trial]] = score
        judgement = self._call("report", trial, self.epoch[trial], score)
        if judgement.rung is not None:
            assert judgement.rung == self.epoch[trial]
            assert judgement.verdict is not Verdict.CONTINUE or not math.isnan(score), "no number survives"
        if self.epoch[trial] == self.shape.epochs or judgement.verdict is Verdict.STOP:
            assert judgement.verdict is not Verdict.PAUSE, "nothing is left to pause for"
            self._end(trial)
        elif judgement.verdict is Verdict.PAUSE:
            self.training.remove(trial)
            self.pausing.append(trial)

    def _end(self, trial: int) -> None:
        self.training.remove(trial)
        self._call("ended", trial)


def _study(name: str, shape: Shape) -> Study:
    return Study(shape, BUILDERS[name](shape)).run()


@every_schedule
@settings(max_examples=60)
@given(shape=shapes)
def test_a_study_always_comes_to_its_end_and_resumes_only_what_waits_with_a_saved_state(
    name: str, shape: Shape
) -> None:
    _study(name, shape)


@every_schedule
@settings(max_examples=30)
@given(shape=shapes, asks=st.floats(0, 1))
def test_the_same_calls_give_the_same_decisions_whoever_asks_in_between(name: str, shape: Shape, asks: float) -> None:
    study = _study(name, shape)
    fresh, rng = BUILDERS[name](shape), random.Random(shape.seed + 1)
    for call, args, answer in study.calls:
        if call != "resumptions":
            assert getattr(fresh, call)(*args) == answer
        elif rng.random() < asks:
            assert fresh.resumptions(more=args[0]) == answer
            assert fresh.resumptions(more=args[0]) == answer, "asking changes nothing"


@every_schedule
@settings(max_examples=30)
@given(shape=shapes)
def test_where_nothing_fails_and_all_scores_are_numbers_a_trial_is_trained_to_its_end(name: str, shape: Shape) -> None:
    healthy = Shape(**{**shape.__dict__, "failures": 0.0, "no_numbers": 0.0})
    assert shape.epochs in _study(name, healthy).epoch.values()


@every_schedule
@settings(max_examples=30)
@given(shape=shapes)
def test_only_populations_and_replays_let_a_trial_go_on_without_a_number(name: str, shape: Shape) -> None:
    study = _study(name, shape)
    assert not study.worthless or isinstance(study.schedule, Population | Replay)


@pytest.mark.parametrize("name", ["fifo", "replay", *(each for each in BUILDERS if each.startswith("pb"))])
@settings(max_examples=30)
@given(shape=shapes)
def test_nobody_is_left_waiting_by_schedules_that_only_change_values(name: str, shape: Shape) -> None:
    study = _study(name, shape)
    assert not study.waiting
    ended = {args[0] for call, args, _ in study.calls if call == "ended"}
    assert ended == set(range(shape.trials))


@pytest.mark.parametrize("name", [each for each in BUILDERS if each.startswith("pb")])
@settings(max_examples=30)
@given(shape=shapes)
def test_what_a_population_tries_lies_inside_its_domains(name: str, shape: Shape) -> None:
    study = _study(name, shape)
    for values in study.values.values():
        assert all(domain.holds(values[path]) for path, domain in DOMAINS.items())
