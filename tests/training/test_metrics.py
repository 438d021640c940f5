from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from raytune_app.training.metrics import (
    MACROS,
    SCORE_TITLES,
    WEIGHTED,
    Scores,
    bootstrap_95,
    confusion,
    report_scores,
    wilson_95,
)

TABLE = np.array([[5, 1, 0], [2, 3, 0], [0, 4, 0]])


def test_rows_are_truth_and_columns_predictions() -> None:
    table = confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert table.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_the_scores_are_those_computed_by_hand() -> None:
    scores = Scores.of(TABLE)
    assert scores.accuracy == pytest.approx(8 / 15)
    assert scores.precision == pytest.approx([5 / 7, 3 / 8, 0])
    assert scores.recall == pytest.approx([5 / 6, 3 / 5, 0])
    assert scores.f1 == pytest.approx([10 / 13, 6 / 13, 0])
    assert scores.macro_f1 == pytest.approx((10 / 13 + 6 / 13) / 3)
    assert scores.support.tolist() == [6, 5, 4]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=50))
def test_the_scores_hold_their_laws(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(pairs).T
    scores = Scores.of(confusion(labels, predictions, 4))
    assert scores.accuracy == pytest.approx(np.mean(labels == predictions))
    assert scores.support.tolist() == np.bincount(labels, minlength=4).tolist()
    assert np.average(scores.recall, weights=scores.support) == pytest.approx(scores.accuracy)
    for p, r, f in zip(scores.precision, scores.recall, scores.f1, strict=True):
        assert f == pytest.approx(2 * p * r / (p + r) if p + r else 0)


@pytest.mark.parametrize(
    ("right", "total", "low", "high"), [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (81, 263, 0.2553, 0.3662)]
)
def test_wilsons_interval_is_the_published_one(right: int, total: int, low: float, high: float) -> None:
    """The last: Newcombe 1998, table I, 81 of 263."""
    assert wilson_95(right, total) == pytest.approx((low, high), abs=1e-4)


def test_wilsons_interval_holds_the_truth_about_95_times_in_100() -> None:
    draws = np.random.default_rng(0).binomial(500, 0.97, 2000)
    held = np.mean([low <= 0.97 <= high for low, high in (wilson_95(int(draw), 500) for draw in draws)])
    assert 0.93 < held < 0.97


def test_the_bootstrap_is_seeded_and_surrounds_the_score() -> None:
    table = TABLE * 20
    scores, intervals = Scores.of(table), bootstrap_95(table, seed=1)
    assert intervals == bootstrap_95(table, seed=1) != bootstrap_95(table, seed=2)
    for name in MACROS + WEIGHTED:
        low, high = intervals[name]
        assert low < getattr(scores, name) < high
    wider = bootstrap_95(TABLE, seed=1)["macro_recall"]
    assert wider[1] - wider[0] > 2 * (intervals["macro_recall"][1] - intervals["macro_recall"][0])


def test_the_bootstraps_width_is_that_of_resampled_pictures() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [60, 140])
    predictions = np.where(rng.random(200) < 0.8, labels, 1 - labels)
    drawn = []
    for _ in range(1500):
        rows = rng.integers(0, 200, 200)
        drawn.append(Scores.of(confusion(labels[rows], predictions[rows], 2)).macro_f1)
    expected = np.quantile(drawn, [0.025, 0.975])
    assert bootstrap_95(confusion(labels, predictions, 2), 0)["macro_f1"] == pytest.approx(tuple(expected), abs=0.012)


def test_the_report_is_plain_and_complete() -> None:
    report = report_scores(TABLE, ("a", "b", "c"), seed=0)
    assert json.loads(json.dumps(report)) == report
    assert report["n"] == 15
    for name in ("accuracy", *MACROS, *WEIGHTED):
        assert report[f"{name}_low"] <= report[name] <= report[f"{name}_high"]
    assert [row["label"] for row in report["per_class"]] == ["a", "b", "c"]
    assert report["confusion"] == TABLE.tolist()
    assert set(SCORE_TITLES) == {name.removesuffix("_low") for name in report if name.endswith("_low")}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=50))
def test_macro_and_weighted_scores_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(pairs).T
    scores = Scores.of(confusion(labels, predictions, 4))
    for average, names in (("macro", MACROS), ("weighted", WEIGHTED)):
        theirs = precision_recall_fscore_support(labels, predictions, labels=range(4), average=average, zero_division=0)
        assert [getattr(scores, name) for name in names] == pytest.approx(theirs[:3])


def test_a_report_on_ten_thousand_pictures_takes_no_time() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 10_000)
    table = confusion(labels, np.where(rng.random(10_000) < 0.9, labels, 0), 10)
    started = time.process_time()
    report_scores(table, [str(label) for label in range(10)], seed=0)
    assert time.process_time() - started < 0.5
