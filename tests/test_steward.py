"""A deployment follows the registry, and the guard's decisions go through the registry as everyone's do."""

from collections.abc import Mapping
from typing import Any

import pytest

from raytune_app.errors import EndpointError, InputError, RefusedError
from raytune_app.registry import Draft, Registry
from raytune_app.rollout import latency
from raytune_app.rollout.steward import Steward, started, wanted
from raytune_app.rollout.traffic import Mode, Traffic

DRAFT = Draft(model={}, weights=b"w", golden=b"g", card="")


class Fake:
    """An endpoint that keeps what it is told; `refuses` are versions it will not take."""

    def __init__(self) -> None:
        self.models: dict[str, Traffic] = {}
        self.updates = 0
        self.refuses: set[int] = set()
        self.counts: dict[str, dict[str, dict[str, Any]]] = {"mnist": {}}

    def update(self, models: Mapping[str, Traffic]) -> None:
        self.updates += 1
        if self.refuses & {version for traffic in models.values() for version in traffic.versions}:
            raise RefusedError("mnist@2 was refused: broken")
        self.models = dict(models)

    def statistics(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        return self.counts

    def count(self, version: int, requests: int, failures: int = 0, seconds: float = 0.001, wrong: int = 0) -> None:
        histogram = [0] * (len(latency.BOUNDS_S) + 1)
        histogram[latency.place(seconds)] = requests
        before = self.counts["mnist"].get(str(version), {})
        now = {"requests": requests, "failures": failures, "latency": histogram, "right": 0, "wrong": wrong}
        self.counts["mnist"][str(version)] = {
            name: [a + b for a, b in zip(before.get(name, [0] * 99), value, strict=False)]
            if isinstance(value, list)
            else before.get(name, 0) + value
            for name, value in now.items()
        }


class Scene:
    """A registry with three versions of one model, the first the champion; a fake endpoint; and its steward."""

    def __init__(self, registry: Registry) -> None:
        for _ in range(3):
            registry.register("mnist", DRAFT)
        registry.promote("mnist", 1)
        self.registry = registry
        self.served = Fake()
        self.said: list[str] = []
        self.now = 1000.0
        self.served.update(wanted(registry, ["mnist"]))
        self.steward = self.make(["mnist"])

    def make(self, refs: list[str]) -> Steward:
        return Steward(self.registry, refs, self.served, wanted(self.registry, refs), self.said.append, self.clock)

    def clock(self) -> float:
        return self.now

    def begin(self, mode: Mode = Mode.CANARY, **rules: Any) -> None:
        self.registry.start_rollout("mnist", started(2, mode, 0.2, self.now, **rules))
        self.steward.step()

    def champion(self) -> int:
        return self.registry.aliases("mnist")["champion"]


@pytest.fixture
def scene(registry: Registry) -> Scene:
    return Scene(registry)


def test_a_promotion_and_a_rollback_turn_the_traffic(scene: Scene) -> None:
    scene.steward.step()
    assert scene.served.updates == 1
    scene.registry.promote("mnist", 2)
    scene.steward.step()
    assert scene.served.models == {"mnist": Traffic(champion=2)}
    scene.registry.rollback("mnist")
    scene.steward.step()
    assert scene.served.models == {"mnist": Traffic(champion=1)}
    assert scene.said == ["mnist@2 answers", "mnist@1 answers"]


def test_versions_named_by_number_stay_and_the_first_is_the_champion(scene: Scene) -> None:
    assert wanted(scene.registry, ["mnist@2", "mnist@3", "mnist"]) == {"mnist": Traffic(champion=2, also=(3, 1))}
    steward = scene.make(["mnist@1"])
    scene.registry.promote("mnist", 3)
    steward.step()
    assert scene.served.updates == 1


def test_what_is_refused_is_asked_for_once_and_the_registry_still_rules(scene: Scene) -> None:
    scene.served.refuses = {2}
    scene.registry.promote("mnist", 2)
    for _ in range(3):
        scene.steward.step()
    assert scene.served.updates == 2
    assert scene.served.models == {"mnist": Traffic(champion=1)}
    assert len(scene.said) == 1
    assert "was refused: broken" in scene.said[0]
    scene.registry.promote("mnist", 3)
    scene.steward.step()
    assert scene.served.models == {"mnist": Traffic(champion=3)}


def test_a_challenger_that_is_refused_ends_its_rollout(scene: Scene) -> None:
    scene.served.refuses = {2}
    scene.begin()
    assert scene.registry.rollout("mnist") is None
    assert "broken" in scene.registry.history("mnist")[-1]["reason"]
    scene.steward.step()
    assert scene.served.models == {"mnist": Traffic(champion=1)}


def run(scene: Scene, **challenger: Any) -> None:
    """Ten looks, with 400 requests more for each version before each."""
    for _ in range(10):
        scene.served.count(1, 400)
        scene.served.count(2, 400, **challenger)
        scene.steward.step()
    scene.steward.step()


@pytest.mark.parametrize("mode", [Mode.CANARY, Mode.SHADOW])
def test_a_good_challenger_becomes_the_champion(scene: Scene, mode: Mode) -> None:
    scene.begin(mode)
    run(scene)
    assert scene.champion() == 2
    assert scene.registry.rollout("mnist") is None
    assert scene.served.models == {"mnist": Traffic(champion=2)}
    assert scene.registry.history("mnist")[-1]["reason"].startswith("proved no worse")


@pytest.mark.parametrize(
    "challenger", [{"failures": 40}, {"seconds": 3.0}, {"wrong": 100}], ids=["fails", "slow", "wrong"]
)
@pytest.mark.parametrize("mode", list(Mode))
def test_a_bad_challenger_is_taken_back(scene: Scene, mode: Mode, challenger: dict[str, Any]) -> None:
    scene.begin(mode)
    for _ in range(3):
        scene.served.counts["mnist"].setdefault("1", {})["right"] = 10_000
        run(scene, **challenger)
        scene.served.counts["mnist"]["1"]["right"] += 10_000
    assert scene.champion() == 1
    assert scene.registry.rollout("mnist") is None
    assert scene.served.models == {"mnist": Traffic(champion=1)}
    assert "rolled back" in scene.said[-2]


def test_an_ab_test_is_never_promoted_by_itself(scene: Scene) -> None:
    scene.begin(Mode.AB)
    run(scene)
    assert scene.champion() == 1
    assert scene.registry.rollout("mnist") is not None


def test_what_was_counted_before_a_rollout_says_nothing_about_it(scene: Scene) -> None:
    scene.served.count(2, 10_000, failures=9000)
    scene.begin()
    run(scene)
    assert scene.champion() == 2


def test_without_a_decision_in_time_the_challenger_is_taken_back(scene: Scene) -> None:
    scene.begin(deadline_s=60.0)
    scene.now += 59
    scene.steward.step()
    assert scene.registry.rollout("mnist") is not None
    scene.now += 2
    scene.steward.step()
    assert scene.registry.rollout("mnist") is None
    assert "no decision" in scene.said[-1]


def test_slow_is_what_the_champion_was_not(scene: Scene) -> None:
    """A challenger of 3 ms is slow beside a champion of 1 ms, and not beside one of 20 ms."""
    scene.served.count(1, 1000, seconds=0.02)
    scene.begin()
    for _ in range(10):
        scene.served.count(1, 400, seconds=0.02)
        scene.served.count(2, 400, seconds=0.03)
        scene.steward.step()
    assert scene.champion() == 2


@pytest.mark.parametrize("kind", [EndpointError, ConnectionResetError])
def test_an_endpoint_that_is_away_is_said_once_and_looked_for_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def away(_: object = None) -> Any:
        raise kind("no answer")

    scene.begin()
    with monkeypatch.context() as patched:
        patched.setattr(scene.served, "statistics", away)
        scene.steward.step()
        scene.steward.step()
    assert [line for line in scene.said if "no answer" in line] == ["cannot look after the versions: no answer"]
    run(scene)
    assert scene.champion() == 2


@pytest.mark.parametrize("rules", [{"alpha": 0.9}, {"errors": 2.0}, {"deadline_s": 0.0}, {"slow_ms": -1.0}])
def test_a_rule_out_of_range_is_named(rules: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(rules))):
        started(2, Mode.CANARY, 0.1, 0.0, **rules)
    with pytest.raises(InputError, match="share"):
        started(2, Mode.CANARY, 0.0, 0.0)


def test_a_failure_that_passes_loses_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object = None) -> Any:
        raise EndpointError("not ready in time")

    scene.registry.start_rollout("mnist", started(2, Mode.CANARY, 0.2, scene.now))
    for broken in ("statistics", "update"):
        with monkeypatch.context() as patched:
            patched.setattr(scene.served, broken, away)
            scene.steward.step()
        assert scene.registry.rollout("mnist") is not None
        assert scene.served.models["mnist"].rollout is None
    scene.steward.step()
    assert scene.served.models["mnist"].rollout is not None


def test_an_ab_test_has_no_deadline_and_takes_no_labels(scene: Scene) -> None:
    scene.begin(Mode.AB)
    scene.now += 1e6
    scene.steward.step()
    assert scene.registry.rollout("mnist") is not None
    with pytest.raises(InputError, match="never makes"):
        started(2, Mode.AB, 0.5, 0.0, labels=True)
    with pytest.raises(InputError, match="all requests"):
        started(2, Mode.CANARY, 1.0, 0.0)


def test_the_guard_does_not_overrule_who_was_quicker(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.begin()
    real = scene.served.statistics

    def meanwhile() -> Any:
        if scene.registry.rollout("mnist") is not None:
            scene.registry.end_rollout("mnist", "by hand")
        return real()

    scene.served.count(1, 10_000)
    scene.served.count(2, 10_000)
    monkeypatch.setattr(scene.served, "statistics", meanwhile)
    scene.steward.step()
    assert scene.champion() == 1
