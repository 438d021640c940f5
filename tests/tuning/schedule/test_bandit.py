"""The bandit looks where gains were high, where little is known, and where nobody looks already."""

import numpy as np

from raytune_app.tuning.schedule.bandit import Floats, next_point

NOBODY = np.zeros((0, 1))


def _line(count: int) -> Floats:
    return np.linspace(0, 1, count)[:, None]


def _next(
    points: Floats, gains: Floats, *, times: Floats | None = None, beside: Floats = NOBODY, seed: int = 0
) -> float:
    when = np.ones(len(points)) if times is None else times
    return float(next_point(points, when, gains, beside, float(when.max()) + 1, np.random.default_rng(seed))[0])


def test_it_finds_the_top_of_what_it_has_seen() -> None:
    points = _line(40)
    assert abs(_next(points, -((points[:, 0] - 0.3) ** 2)) - 0.3) < 0.1


def test_it_looks_into_a_gap_when_all_else_is_equal() -> None:
    points = np.concatenate([np.linspace(0, 0.3, 15), np.linspace(0.9, 1, 15)])[:, None]
    assert 0.3 < _next(points, np.cos(points[:, 0] * 40)) < 0.9


def test_it_avoids_what_others_try_meanwhile() -> None:
    points = np.array([[0.0], [0.25], [0.5], [0.75], [1.0]])
    gains = np.array([0.0, 0.5, 1.0, 0.5, 0.0])
    alone = _next(points, gains)
    beside = np.full((3, 1), alone)
    assert abs(_next(points, gains, beside=beside) - alone) > 0.02


def test_what_was_seen_lately_counts_more_than_what_was_seen_long_ago() -> None:
    points = np.vstack([_line(20), _line(20)])
    old, late = -np.abs(_line(20)[:, 0] - 0.1), -np.abs(_line(20)[:, 0] - 0.8)
    times = np.repeat([1.0, 30.0], 20)
    assert abs(_next(points, np.concatenate([old, late]), times=times) - 0.8) < 0.15


def test_equal_gains_and_repeated_points_are_no_trouble() -> None:
    assert 0 <= _next(np.full((6, 1), 0.5), np.full(6, 0.1)) < 1


def test_the_same_question_has_the_same_answer() -> None:
    points, gains = _line(9), np.cos(_line(9)[:, 0])
    assert _next(points, gains) == _next(points, gains)
