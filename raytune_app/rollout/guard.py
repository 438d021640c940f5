"""Judges a challenger beside the champion while requests come in: promote, roll back, or go on looking.

Each of three shares (failed requests, slow ones, wrong answers) of each version has a confidence sequence: an interval
that holds the true share at every moment at once, however often one looks, but for a chance of alpha / 6. So the
chance that a challenger which is worse than the champion by more than its margin is ever promoted, or one that is not
is ever rolled back, is at most alpha, if requests are independent of each other. The sequence is Robbins' (1970)
mixture for coin flips with a Beta(1/2, 1/2) prior, by Ville's inequality; see Howard, Ramdas, McAuliffe and Sekhon
(2021). Pure: no clock, no files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

SHARES = 3
VERSIONS = 2
_STEPS = 50


class Rules(BaseModel):
    """How much worse a challenger may be, and how sure the guard must be.

    Attributes:
        alpha: the largest chance of a wrong decision.
        errors, slow, wrong: by how much the challenger's share may exceed the champion's.
        slow_ms: a request that took longer is slow; None: twice the champion's 95th percentile when the rollout began.
        labels: whether true labels must have proved it before a promotion.
        deadline_s: after so long without a decision it is rolled back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    errors: float = Field(default=0.01, ge=0, le=1)
    slow: float = Field(default=0.05, ge=0, le=1)
    wrong: float = Field(default=0.02, ge=0, le=1)
    slow_ms: float | None = Field(default=None, gt=0)
    labels: bool = False
    deadline_s: float = Field(default=86_400, gt=0)


class Verdict(StrEnum):
    """What to do with the challenger."""

    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    GO_ON = "go on"


@dataclass(frozen=True, slots=True)
class Flips:
    """`hits` of `n` requests failed, were slow or were answered wrong."""

    hits: int
    n: int

    @property
    def share(self) -> float:
        return self.hits / self.n if self.n else math.nan


@dataclass(frozen=True, slots=True)
class Counts:
    """One version since the rollout began. `wrong` counts answers whose true label came back."""

    errors: Flips
    slow: Flips
    wrong: Flips


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and why, in words for a person."""

    verdict: Verdict
    reason: str


def judge(champion: Counts, challenger: Counts, rules: Rules) -> Judgement:
    """What the counts say so far."""
    alpha = rules.alpha / (SHARES * VERSIONS)
    compared = [
        _Share("failed", champion.errors, challenger.errors, rules.errors, needed=True),
        _Share("were slow", champion.slow, challenger.slow, rules.slow, needed=True),
        _Share("were answered wrong", champion.wrong, challenger.wrong, rules.wrong, needed=rules.labels),
    ]
    for share in compared:
        if share.least_difference(alpha) > share.margin:
            return Judgement(Verdict.ROLL_BACK, f"more {share.words()}")
    open_ones = [each for each in compared if each.counts and not each.greatest_difference(alpha) < each.margin]
    if open_ones:
        return Judgement(Verdict.GO_ON, f"not sure yet: {'; '.join(share.words() for share in open_ones)}")
    return Judgement(Verdict.PROMOTE, f"proved no worse: {'; '.join(each.words() for each in compared if each.counts)}")


def interval(flips: Flips, alpha: float) -> tuple[float, float]:
    """Bounds of the true share that hold at every n at once with probability 1 - alpha."""
    if not flips.n:
        return 0.0, 1.0
    s, n = flips.hits, flips.n
    mixture = math.lgamma(s + 0.5) + math.lgamma(n - s + 0.5) - math.lgamma(n + 1) - math.log(math.pi)
    limit = mixture + math.log(alpha)

    def outside(p: float) -> bool:
        hits = s * math.log(p) if s else 0.0
        misses = (n - s) * math.log1p(-p) if n - s else 0.0
        return hits + misses < limit

    lower = _edge(outside, 0.0, s / n) if s else 0.0
    upper = _edge(outside, 1.0, s / n) if s < n else 1.0
    return lower, upper


def _edge(outside: Callable[[float], bool], far: float, near: float) -> float:
    """Between `far`, which is outside, and `near`, which is not: the last point known to be outside."""
    for _ in range(_STEPS):
        middle = (far + near) / 2
        if outside(middle):
            far = middle
        else:
            near = middle
    return far


@dataclass(frozen=True, slots=True)
class _Share:
    """One share of both versions."""

    name: str
    champion: Flips
    challenger: Flips
    margin: float
    needed: bool

    @property
    def counts(self) -> bool:
        """Whether it has a say in a promotion: always, or once labels came back."""
        return self.needed or bool(self.champion.n and self.challenger.n)

    def least_difference(self, alpha: float) -> float:
        return interval(self.challenger, alpha)[0] - interval(self.champion, alpha)[1]

    def greatest_difference(self, alpha: float) -> float:
        return interval(self.challenger, alpha)[1] - interval(self.champion, alpha)[0]

    def words(self) -> str:
        return (
            f"{self.name}: {self.challenger.share:.2%} of {self.challenger.n:,} "
            f"against {self.champion.share:.2%} of {self.champion.n:,}"
        )
