"""Searches that learn do learn, and an interruption changes nothing."""

import json
import logging
import math
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from raytune_app.spec import Experiment
from raytune_app.tuning.search.base import Ending, Search, Told, Values
from raytune_app.tuning.search.catalog import build_search

Make = Callable[..., Experiment]
Event = tuple[str, int, Any]
PLANE = {"lr": {"loguniform": [1e-4, 1e-1]}, "momentum": {"uniform": [0, 0.99]}}
LEARNING = ("tpe", "gp", "cmaes", "nsga2")
_ENDINGS = (Ending.WHOLE, Ending.CUT, Ending.LOST, Ending.WHOLE, Ending.UNKNOWN, Ending.CUT)


def _score(values: Values) -> float:
    """At most 0; best at lr 0.005 and momentum 0.8."""
    return -float((math.log10(values["params.lr"]) + 2.3) ** 2 + 4 * (values["params.momentum"] - 0.8) ** 2)


def _whole(values: Values) -> Told:
    return Told((_score(values),), {1: _score(values)}, Ending.WHOLE)


class _Course:
    """What happens in a study, drawn by `seed`: up to four trials run at once and end in every way.

    `events` has each suggestion, as it comes out of a JSON log, and each word, in order.
    """

    def __init__(self, search: Search, objectives: int, seed: int) -> None:
        self._search, self._objectives, self._rng = search, objectives, random.Random(seed)
        self._running: dict[int, Values] = {}
        self.events: list[Event] = []

    def run(self, trials: int) -> list[Event]:
        for number in range(trials):
            self._running[number] = json.loads(json.dumps(self._search.suggest(number)))
            self.events.append(("suggested", number, self._running[number]))
            while len(self._running) > 3 or (self._running and self._rng.random() < 0.4):
                self._end(self._rng.choice(sorted(self._running)))
        return self.events

    def _end(self, number: int) -> None:
        ending = _ENDINGS[sum(kind == "told" for kind, *_ in self.events) % len(_ENDINGS)]
        values = self._running[number]
        scores = (_score(values), -values["params.lr"])[: self._objectives]
        told = Told(() if ending is Ending.UNKNOWN else scores, {1: scores[0] - 1, 2: scores[0]}, ending)
        self._search.told(number, told)
        self.events.append(("told", number, told))
        if ending is not Ending.CUT or self._rng.random() < 0.5:  # a cut trial may go on and be told again
            del self._running[number]


def _replay(search: Search, events: Sequence[Event]) -> None:
    for kind, number, content in events:
        if kind == "suggested":
            search.recall(number, content)
        else:
            search.told(number, content)


@pytest.mark.parametrize(
    ("name", "objectives", "trials", "stops"),
    [
        ("tpe", 1, 24, 8),
        ("tpe", 2, 24, 4),
        ("gp", 1, 8, 1),
        ("cmaes", 1, 24, 8),
        ("nsga2", 1, 24, 4),
        ("nsga2", 2, 24, 8),
    ],
)
def test_a_search_goes_on_as_if_it_had_never_been_interrupted(
    name: str, objectives: int, trials: int, stops: int, make_experiment: Make, caplog: pytest.LogCaptureFixture
) -> None:
    points = ({"params.lr": 0.05}, {"params.momentum": 0.5})
    domains = PLANE if name == "gp" else None
    experiment = make_experiment(name, domains, seed=2, objectives=objectives, startup_trials=4, points=points)
    events = _Course(build_search(experiment), objectives, seed=7).run(trials)
    assert {content.ending for kind, _, content in events if kind == "told"} == set(Ending)
    for stop in random.Random(0).sample(range(len(events) // 3, len(events)), stops):
        search = build_search(experiment)
        _replay(search, events[:stop])
        for kind, number, content in events[stop:]:
            if kind == "told":
                search.told(number, content)
            else:
                assert search.suggest(number) == content, (stop, number)
    assert not caplog.records


@pytest.mark.parametrize("name", ["cmaes", "nsga2"])
def test_recorded_values_win_over_what_the_sampler_would_suggest_now(
    name: str, make_experiment: Make, caplog: pytest.LogCaptureFixture
) -> None:
    search = build_search(make_experiment(name, PLANE))
    with caplog.at_level(logging.WARNING):
        search.recall(0, {"params.lr": 0.05, "params.momentum": 0.5})
    assert "trial 0" in caplog.text


def _best(experiment: Experiment, trials: int) -> float:
    search, best = build_search(experiment), -math.inf
    for number in range(trials):
        values = search.suggest(number)
        best = max(best, _score(values))
        search.told(number, _whole(values))
    return best


@pytest.mark.parametrize(("name", "trials", "seeds"), [("tpe", 60, 5), ("cmaes", 40, 5), ("gp", 11, 2)])
def test_a_model_finds_better_values_than_chance(name: str, trials: int, seeds: int, make_experiment: Make) -> None:
    def median(search: str, **options: Any) -> float:
        return statistics.median(_best(make_experiment(search, PLANE, seed=s, **options), trials) for s in range(seeds))

    startup = {"startup_trials": 5} if name == "gp" else {}
    assert median(name, **startup) > median("random") / 2  # scores are losses below 0: at most half as far off


@pytest.mark.parametrize("ending", [Ending.LOST, Ending.CUT])
def test_tpe_avoids_where_trials_are_lost_or_cut(ending: Ending, make_experiment: Make) -> None:
    domain = {"x": {"uniform": [0, 1]}}
    search = build_search(make_experiment("tpe", domain))
    for number in range(40):
        x = search.suggest(number)["params.x"]
        search.told(number, Told((x,), {1: x}, ending if x > 0.5 else Ending.WHOLE))
    late = [search.suggest(number)["params.x"] for number in range(40, 60)]
    assert statistics.median(late) < 0.5


@pytest.mark.parametrize("name", LEARNING)
def test_the_first_suggestion_after_a_warm_start_is_where_known_trials_were_good(
    name: str, make_experiment: Make
) -> None:
    def score(values: Values) -> float:
        return float(math.log10(values["params.lr"]) + 3 * values["params.momentum"])  # best in a corner

    options = {"startup_trials": 8 if name == "nsga2" else 1}
    known = [build_search(make_experiment("random", PLANE, seed=9)).suggest(number) for number in range(40)]
    reached = []
    for seed in range(5):
        warm, cold = (build_search(make_experiment(name, PLANE, seed=seed, **options)) for _ in range(2))
        for values in known:
            warm.learn(values, Told((score(values),), {1: score(values)}, Ending.WHOLE))
        reached.append(warm.suggest(0))
        assert reached[-1] != cold.suggest(0)
    assert statistics.median(map(score, reached)) > statistics.quantiles(map(score, known), n=4)[-1]


@pytest.mark.parametrize("name", LEARNING)
def test_a_few_known_trials_are_enough_to_learn_from(name: str, make_experiment: Make) -> None:
    search = build_search(make_experiment(name, PLANE, startup_trials=1))
    search.learn({"params.lr": 0.01, "params.momentum": 0.1}, Told((1.0,), {1: 1.0}, Ending.WHOLE))
    search.learn({"params.lr": 0.02, "params.momentum": 0.1}, Told((), {}, Ending.LOST))
    assert search.suggest(0)


@pytest.mark.parametrize("name", LEARNING)
def test_values_outside_the_domains_are_refused(name: str, make_experiment: Make) -> None:
    search = build_search(make_experiment(name, PLANE))
    for values in ({"params.lr": 0.5, "params.momentum": 0.1}, {"params.lr": 0.01}):
        with pytest.raises(AssertionError):
            search.learn(values, Told((1.0,), {1: 1.0}, Ending.WHOLE))


@pytest.mark.parametrize("name", LEARNING)
def test_a_search_of_single_values_suggests_them(name: str, make_experiment: Make) -> None:
    search = build_search(make_experiment(name, {"depth": {"randint": [3, 4]}}))
    for number in range(3):
        assert search.suggest(number) == {"params.depth": 3}
        search.told(number, Told((1.0,), {1: 1.0}, Ending.WHOLE))
