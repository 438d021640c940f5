"""Every figure of every study: drawn, small, safe and true; or refused in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from raytune_app.board.figures import FIGURES, available, describe, figure
from raytune_app.board.importance import importance
from raytune_app.board.looks import COLOURS
from raytune_app.board.samples import Search, thin
from raytune_app.board.timeline import stretches
from raytune_app.errors import InputError, NotFoundError
from raytune_app.spec import Experiment
from raytune_app.tuning.pareto import hypervolume, pareto_front
from raytune_app.tuning.view import StudyView, TrialState
from tests.board.studies import EVIL, MIXED, TWO, Config, experiment, started, study, trial


def _points(drawn: Any, trace: int = 0) -> list[tuple[float, float]]:
    return list(zip(map(float, drawn.data[trace].x), map(float, drawn.data[trace].y), strict=True))


@pytest.fixture(scope="module")
def two() -> tuple[Experiment, StudyView]:
    spec = experiment(TWO)
    return spec, study(spec, 40)


@pytest.fixture(scope="module")
def large() -> tuple[Experiment, StudyView]:
    spec = experiment(TWO, {**MIXED, "flag": {"choice": [True, False]}, "depth": {"randint": [1, 9]}})
    return spec, study(spec, 10_000, lambda config: math.log10(config["params.rate"]), 2)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_transparent_and_described(name: str, two: tuple[Experiment, StudyView]) -> None:
    drawn = figure(name, *two)
    assert drawn.data and drawn.layout.title.text == FIGURES[name]
    assert drawn.layout.template.layout.paper_bgcolor == drawn.layout.template.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert drawn.layout.plot_bgcolor in {None, "rgba(0,0,0,0)"} and drawn.layout.width is None
    said = describe(name, *two)
    assert said.endswith(".") and any(figure.isdigit() for figure in said)


@pytest.mark.parametrize("name", FIGURES)
def test_text_of_a_study_is_never_html(name: str) -> None:
    spec = experiment(TWO, MIXED)
    text = figure(name, spec, study(spec, 40, lambda config: float(config["params.evil"] == EVIL[1]))).to_json()
    assert not [part for part in ("<b>", "<img", "<a ") if part in text]
    assert "a&lt;b" not in text or name == "parallel"  # whose ticks are shown as they are
    if name in {"slice", "rank", "curves"}:
        assert "&lt;img src=x" in text and "a&amp;lt;b" in text


@pytest.mark.parametrize("name", FIGURES)
def test_ten_thousand_trials_make_a_small_figure_that_says_who_is_missing(
    name: str, large: tuple[Experiment, StudyView]
) -> None:
    drawn = figure(name, *large)
    assert len(drawn.to_json()) < 500_000
    if name in {"curves", "parallel", "slice", "rank", "pareto", "timeline"}:
        assert " of 10,000 " in drawn.layout.title.subtitle.text.replace("<br>", " ")


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (experiment(), 0),
        (experiment(), 1),
        (experiment(), 3),
        (experiment(), 12),
        (experiment(params={}), 3),
        (experiment(params={"depth": {"randint": [1, 9]}}), 30),
        (experiment(params={"one": {"choice": [5]}}), 30),
        (experiment(TWO), 1),
    ],
)
def test_what_is_available_is_drawn_and_the_rest_is_refused_with_a_remedy(spec: Experiment, count: int) -> None:
    view = study(spec, count)
    names = available(spec, view)
    for name in FIGURES:
        if name in names:
            assert figure(name, spec, view).data
            continue
        for call in (figure, describe):
            with pytest.raises(InputError) as refusal:
                call(name, spec, view)
            assert name in refusal.value.message and refusal.value.remedy


def test_a_study_of_one_objective_and_many_settings_has_all_but_the_figures_of_two() -> None:
    spec = experiment()
    assert available(spec, study(spec, 12)) == [name for name in FIGURES if name not in {"pareto", "hypervolume"}]
    assert available(spec, StudyView()) == []


@pytest.mark.parametrize(
    ("name", "choice", "error"),
    [
        ("pie", {}, NotFoundError),
        ("edf", {"x": "params.rate"}, InputError),
        ("edf", {"objective": "beauty"}, InputError),
        ("contour", {"x": "params.none"}, InputError),
        ("contour", {"x": "params.rate", "y": "params.rate"}, InputError),
        ("importance", {"epoch": "soon"}, InputError),
        ("importance", {"epoch": 6}, InputError),
    ],
)
def test_a_wrong_choice_is_refused(
    name: str, choice: Config, error: type[InputError], two: tuple[Experiment, StudyView]
) -> None:
    with pytest.raises(error) as refusal:
        figure(name, *two, **choice)
    assert refusal.value.remedy


@pytest.mark.parametrize(("mode", "best"), [("max", [3.0, 3.0, 5.0, 5.0]), ("min", [3.0, 2.0, 2.0, 1.0])])
def test_history_is_the_best_so_far(mode: str, best: list[float]) -> None:
    spec = experiment({"metric": "score", "mode": mode})
    scores = [3.0, 2.0, 5.0, 1.0]
    events = [event for number, score in enumerate(scores) for event in trial(number, {}, [{"score": score}])]
    drawn = figure("history", spec, StudyView.of([*started(), *events]))
    assert _points(drawn) == list(zip(range(4), scores, strict=True))
    assert [y for _, y in _points(drawn, 1)] == best


@pytest.mark.parametrize("mode", ["max", "min"])
def test_importance_finds_the_setting_that_decides(mode: str) -> None:
    spec = experiment({"metric": "score", "mode": mode})
    sign = 1 if mode == "max" else -1
    view = study(spec, 60, lambda config: sign * (math.log10(config["params.rate"]) + 0.1 * config["params.depth"]))
    found = importance(Search.of(spec, view))
    assert next(iter(found.shares)) == "params.rate" and sum(found.shares.values()) == pytest.approx(1)
    assert found.shares.keys() == spec.domains().keys() and found.top == 0.1
    assert describe("importance", spec, view).startswith("params.rate matters most (0.")


def test_what_makes_trials_diverge_matters() -> None:
    spec = experiment()
    clean = study(spec, 40, lambda config: config["params.depth"] / 100)
    events = [*started()]
    for number, one in clean.trials.items():
        diverges = one.config["params.kind"] == "a"
        events += trial(number, one.config, one.epochs, "diverged" if diverges else "finished")
    before, after = importance(Search.of(spec, clean)), importance(Search.of(spec, StudyView.of(events)))
    assert after.lost == sum(one.config["params.kind"] == "a" for one in clean.trials.values())
    assert after.shares["params.kind"] > 5 * before.shares["params.kind"]


def test_importance_at_an_epoch_compares_those_that_trained_it_and_says_so() -> None:
    spec = experiment()
    view = study(spec, 60, epochs=lambda number: 5 if number % 3 else 2)
    found = importance(Search.of(spec, view), epoch=3)
    assert (found.trials, found.left_out, found.epoch) == (40, 20, 3)
    drawn = figure("importance", spec, view), figure("importance", spec, view, epoch="3")
    notes = [each.layout.title.subtitle.text.replace("<br>", " ") for each in drawn]
    assert "though after 2 to 5 epochs" in notes[0] and "though" not in notes[1]
    assert "by epoch 3" in notes[1] and "20 that ended before are left out" in notes[1]


@pytest.mark.parametrize(("x", "y"), [("params.depth", "params.rate"), ("params.rate", "params.depth")])
def test_a_contour_has_the_axes_that_were_asked_for_and_the_best_of_each_cell(x: str, y: str) -> None:
    spec = experiment(params={"depth": {"randint": [1, 4]}, "rate": {"choice": [0.1, 0.2, 0.3]}})
    view = study(spec, 200, lambda config: config["params.depth"] + 10 * config["params.rate"])
    drawn = figure("contour", spec, view, x=x, y=y)
    (grid,) = (trace for trace in drawn.data if trace.type == "contour")
    assert (drawn.layout.xaxis.title.text, drawn.layout.yaxis.title.text) == (x, y)
    weight = {"params.depth": 1, "params.rate": 10}
    inside = np.asarray(grid.z)[1:-1, 1:-1]  # Optuna adds an empty margin
    expected = [[weight[y] * down + weight[x] * right for right in grid.x[1:-1]] for down in grid.y[1:-1]]
    assert inside.shape == (3, 3) and inside == pytest.approx(np.array(expected))
    assert f"over {x} and {y}" in describe("contour", spec, view, x=x, y=y)


def test_a_contour_of_many_trials_keeps_equal_values_of_different_types_apart() -> None:
    spec = experiment(params={"mixed": MIXED["mixed"], "depth": {"randint": [1, 4]}})
    grid, *_ = figure("contour", spec, study(spec, 100), x="params.mixed", y="params.depth").data
    assert set(grid.x) == {"1 (int)", "true (bool)", "1 (str)", "1.0", "true (str)", "null"}


def test_settings_that_never_meet_have_no_contour() -> None:
    spec = experiment()
    configs = [{"params.rate": 0.001 * n} if n % 2 else {"params.depth": n} for n in range(1, 9)]
    events = [event for n, config in enumerate(configs) for event in trial(n, config, [{"score": 1.0 * n}])]
    view = StudyView.of([*started(), *events])
    for name in ("contour", "rank"):
        with pytest.raises(InputError, match="have both"):
            figure(name, spec, view, x="params.rate", y="params.depth")
    assert "not set" in figure("parallel", spec, view).to_json()


def test_the_pareto_front_is_ours_and_the_hypervolume_ends_at_its_area(two: tuple[Experiment, StudyView]) -> None:
    spec, view = two
    counted = Search.of(spec, view).counted
    scores = [[one.values[0], -one.values[1]] for one in counted]
    front = {counted[index].values for index in pareto_front(scores)}
    others, best = figure("pareto", spec, view).data
    assert set(zip(best.x, best.y, strict=True)) <= {tuple(map(np.float32, pair)) for pair in front} | front
    assert len(best.x) == len(front) and len(others.x) == len(counted) - len(front)
    worst, top = np.min(scores, axis=0), np.max(scores, axis=0)
    share = hypervolume(scores, worst.tolist()) / float(np.prod(top - worst))
    shares = [y for _, y in _points(figure("hypervolume", spec, view))]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(share)
    assert f"{len(front)} of 40 trials are beaten by no other" in describe("pareto", spec, view)


def test_the_other_objective_can_be_looked_at(two: tuple[Experiment, StudyView]) -> None:
    spec, view = two
    costs = [one.values[1] for one in Search.of(spec, view).counted]
    assert [y for _, y in _points(figure("history", spec, view, objective="cost"))] == pytest.approx(costs)
    assert f"The best cost is {min(costs):.4g}" in describe("history", spec, view, objective="cost")


def test_a_slot_is_a_process_and_old_logs_get_rows_without_overlap() -> None:
    spec = experiment()
    view = study(spec, 6)
    found, known = stretches(view)
    assert known and {one.slot for one in found} == {"node 100", "node 101"}
    assert [(one.trial, one.start_s, one.end_s, one.epochs) for one in found[:3]] == [
        (0, 0.0, 5.0, 5),
        (1, 0.0, 5.0, 5),
        (2, 10.0, 15.0, 5),
    ]
    for one in view.trials.values():
        one.epochs = [{key: value for key, value in row.items() if key not in {"host", "pid"}} for row in one.epochs]
    unnamed, known = stretches(view)
    assert not known and {one.slot for one in unnamed} == {"slot 1", "slot 2"}
    assert "2 slots trained for 25 s, busy 60%" in describe("timeline", spec, view)


def test_curves_show_every_role_with_the_winner_on_top() -> None:
    spec = experiment()
    events = [*started(), *trial(0, {}, [{"score": 1.0}]), *trial(1, {}, [{"score": 2.0}], role="confirm", of=0)]
    drawn = figure("curves", spec, StudyView.of(events), winner="0")
    assert [trace.meta["trial"] for trace in drawn.data] == [1, 0]
    assert drawn.data[1].name == "trial 0 (winner)" and "confirm" in drawn.data[0].hovertemplate


def test_thinning_keeps_who_must_stay_and_spreads_the_rest() -> None:
    chosen, (note,) = thin(range(1000), 100, lambda one: one in {998, 999})
    assert len(chosen) == 100 and {998, 999} <= set(chosen) and note == "100 of 1,000 trials drawn"
    assert max(np.diff(chosen)) <= 12
    assert thin(range(5), 5, lambda one: one > 9) == ([0, 1, 2, 3, 4], [])


def test_every_state_has_a_colour() -> None:
    assert set(COLOURS) == {state.value for state in TrialState}
