"""Keeps a deployment true to the registry: follows its aliases, and lets the guard judge a rollout.

The registry is the truth: whoever promotes, rolls back or starts a rollout writes there and nowhere else, from any
machine; the steward, beside the running endpoint, turns the traffic within a second, without a restart. What the guard
decides goes the same way, so it survives everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from raytune_app.aliases import CHAMPION
from raytune_app.errors import CorruptModelError, InputError, NotFoundError, RefusedError
from raytune_app.registry import Registry
from raytune_app.rollout import latency
from raytune_app.rollout.guard import Counts, Flips, Judgement, Verdict, judge
from raytune_app.rollout.traffic import Mode, Rollout, Traffic

SLOW_TIMES = 2.0
"""A request is slow that takes this many times the champion's 95th percentile before the rollout."""
SLOW_S = 0.05
"""Or this, if the champion has answered too few requests to know."""
KNOWN = 100

Snapshot = Mapping[str, Any]


class Served(Protocol):
    """A running endpoint; `raytune_app.endpoint.deployment.Deployment` is one."""

    def update(self, models: Mapping[str, Traffic]) -> None: ...
    def statistics(self) -> Mapping[str, Mapping[str, Snapshot]]: ...


def wanted(registry: Registry, refs: Sequence[str]) -> dict[str, Traffic]:
    """Who should answer now for `refs`: names, aliases (both followed) or versions (kept), several of a model together.

    The first of a model is its champion; a rollout belongs to those that follow the alias `champion`.

    Raises:
        NotFoundError, CorruptModelError: see `Registry.find`.
    """
    models: dict[str, Traffic] = {}
    for ref in refs:
        found, tag = registry.find(ref), ref.partition("@")[2]
        if found.name in models:
            models[found.name] = models[found.name].holding([found.version])
            continue
        rollout = registry.rollout(found.name) if tag in ("", CHAMPION) else None
        models[found.name] = Traffic(champion=found.version, rollout=rollout)
    return models


class Steward:
    """Beside one deployment.

    Args:
        refs: what the endpoint was started with, see `wanted`.
        deployed: who answers now.
        say: called with a line for a person whenever something changed.
        clock: Unix time.
    """

    def __init__(
        self,
        registry: Registry,
        refs: Sequence[str],
        served: Served,
        deployed: Mapping[str, Traffic],
        say: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._refs = refs
        self._served = served
        self._asked = self._deployed = dict(deployed)
        self._say = say
        self._clock = clock
        self._said = ""
        self._rollouts: dict[str, _Rollout] = {}

    def step(self) -> None:
        """Look once: turn the traffic if the registry has changed, else judge what is being tried."""
        try:
            models = wanted(self._registry, self._refs)
            if models != self._asked:
                self._turn(models)
            for name, traffic in self._deployed.items():
                if traffic.rollout is not None and self._asked[name] == traffic:
                    self._judge(name, traffic.champion, traffic.rollout)
            self._said = ""
        except Exception as error:  # noqa: BLE001  # whatever is away may come back, and who answers goes on answering
            if str(error) != self._said:
                self._say(f"cannot look after the versions: {str(error) or type(error).__name__}")
            self._said = str(error)

    def _turn(self, models: dict[str, Traffic]) -> None:
        """Ask once for what the registry wants; what the endpoint refuses is not asked for again until it changes."""
        before = self._deployed
        for name, traffic in models.items():
            rollout = traffic.rollout
            if rollout is not None and before[name].rollout != rollout:
                self._rollouts[name] = _Rollout(rollout, self._counts(name, traffic.champion))
        try:
            self._served.update(models)
        except (RefusedError, CorruptModelError, NotFoundError) as error:  # anything else is tried again
            self._asked = models
            self._say(f"refused, and those before go on answering: {error.message}")
            for name, traffic in models.items():
                if traffic.rollout is not None and before[name].rollout != traffic.rollout:
                    self._registry.end_rollout(name, f"refused: {error.message}")
            return
        self._asked = self._deployed = models
        for name, traffic in models.items():
            if traffic != before[name]:
                self._say(_said(name, traffic))

    def _judge(self, name: str, champion: int, rollout: Rollout) -> None:
        if name not in self._rollouts:  # it began before this steward did
            self._rollouts[name] = _Rollout(rollout, self._counts(name, champion))
        watched = self._rollouts[name]
        judgement = watched.judge(self._served.statistics().get(name, {}), champion)
        if self._registry.rollout(name) != rollout:  # somebody was quicker
            return
        if judgement.verdict is Verdict.ROLL_BACK:
            self._end(name, rollout, judgement.reason)
        elif rollout.mode is Mode.AB:
            return
        elif judgement.verdict is Verdict.PROMOTE:
            self._registry.promote(name, rollout.challenger, reason=judgement.reason)
            self._say(f"{name}@{rollout.challenger} is promoted; {judgement.reason}")
        elif self._clock() > rollout.started_at + rollout.rules.deadline_s:
            self._end(name, rollout, f"no decision in {rollout.rules.deadline_s:,.0f} s; {judgement.reason}")

    def _counts(self, name: str, version: int) -> Snapshot:
        return self._served.statistics().get(name, {}).get(str(version), {})

    def _end(self, name: str, rollout: Rollout, reason: str) -> None:
        self._registry.end_rollout(name, reason)
        self._say(f"{name}@{rollout.challenger} is rolled back; {reason}")


class _Rollout:
    """One rollout under the guard's eyes: what was counted before it began does not count.

    Args:
        champion: its counts when the rollout began.
    """

    def __init__(self, rollout: Rollout, champion: Snapshot) -> None:
        self._rollout = rollout
        self._before: dict[int, Snapshot] = {}
        self._slow_s = _slow_s(rollout, champion)

    def judge(self, statistics: Mapping[str, Snapshot], champion: int) -> Judgement:
        of_champion = self._counts(statistics, champion)
        return judge(of_champion, self._counts(statistics, self._rollout.challenger), self._rollout.rules)

    def _counts(self, statistics: Mapping[str, Snapshot], version: int) -> Counts:
        now = statistics.get(str(version), {})
        before = self._before.setdefault(version, now)

        def since(name: str) -> int:
            return max(0, int(now.get(name, 0) - before.get(name, 0)))  # a sum may lag behind an older one

        slow = latency.over(now.get("latency", []), self._slow_s) - latency.over(
            before.get("latency", []), self._slow_s
        )
        return Counts(
            errors=Flips(since("failures"), since("requests") + since("failures")),
            slow=Flips(min(max(0, slow), since("requests")), since("requests")),
            wrong=Flips(since("wrong"), since("right") + since("wrong")),
        )


def _slow_s(rollout: Rollout, champion: Snapshot) -> float:
    """Fixed before the challenger's first request: a bound that followed the data would prove nothing."""
    if rollout.rules.slow_ms is not None:
        return rollout.rules.slow_ms / 1000
    if champion.get("requests", 0) < KNOWN:
        return SLOW_S
    usual_s = latency.quantile_s(champion["latency"], 0.95)
    assert not math.isnan(usual_s)
    return SLOW_TIMES * usual_s


def started(challenger: int, mode: Mode, share: float, now: float, **rules: Any) -> Rollout:
    """A rollout that begins now; rules that are None keep their defaults.

    Raises:
        InputError: a value out of its range; says which.
    """
    if mode is Mode.AB and rules.get("labels"):
        raise InputError("labels are asked for a promotion, which an A/B test never makes", "leave --labels out")
    if mode is not Mode.SHADOW and share == 1:
        raise InputError("a share of all requests leaves none to compare with", "use less, or raytune promote")
    given = {name: value for name, value in rules.items() if value is not None}
    try:
        return Rollout.model_validate(
            {"challenger": challenger, "mode": mode, "share": share, "started_at": now, "rules": given}
        )
    except ValueError as error:
        problem = error.errors()[0] if hasattr(error, "errors") else {"loc": ("rollout",), "msg": str(error)}
        where = ".".join(map(str, problem["loc"]))
        raise InputError(f"{where}: {problem['msg']}", "see: raytune rollout --help") from error


def _said(name: str, traffic: Traffic) -> str:
    rollout = traffic.rollout
    if rollout is None:
        return f"{name}@{traffic.champion} answers"
    what = "sees" if rollout.mode is Mode.SHADOW else "answers"
    return f"{name}@{traffic.champion} answers; {name}@{rollout.challenger} {what} {rollout.share:.0%} ({rollout.mode})"
