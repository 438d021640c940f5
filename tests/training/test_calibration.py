from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from raytune_app.training.calibration import calibration_error


def answers(
    count: int, accuracy: NDArray[np.float64], confidence: NDArray[np.float64], seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three classes: the first is answered with this confidence, and right with this probability."""
    rng = np.random.default_rng(seed)
    others = (1 - confidence) / 2
    labels = np.where(rng.random(count) < accuracy, 0, rng.integers(1, 3, count))
    return np.stack([confidence, others, others], axis=1).astype(np.float32), labels


def test_a_calibrated_model_has_hardly_any_error() -> None:
    confidence = np.random.default_rng(1).uniform(0.4, 1, 20_000)
    found = calibration_error(*answers(20_000, confidence, confidence))
    assert found.error < 0.02
    assert found.low < 0.005


@pytest.mark.parametrize("excess", [0.1, 0.3])
def test_a_constantly_overconfident_model_has_its_excess_as_error(excess: float) -> None:
    confidence = np.full(5000, 0.9)
    found = calibration_error(*answers(5000, confidence - excess, confidence))
    assert found.error == pytest.approx(excess, abs=0.02)
    assert found.low < excess < found.high
    assert found.high - found.low < 0.04


def test_the_error_is_the_one_computed_by_hand() -> None:
    """Two bins: confidences 0.6 and 0.8 with one right of two, 0.4 with one right of one; 3 pictures a third each."""
    rows = np.array([[0.6, 0.4], [0.8, 0.2], [0.5, 0.5]], np.float32)
    found = calibration_error(rows, np.array([0, 1, 0]), bins=2)
    assert found.error == pytest.approx((abs(0.6 + 0.8 - 1) + abs(0.5 - 1)) / 3)


def test_too_little_and_too_much_confidence_in_one_bin_cancel_and_in_two_do_not() -> None:
    rows = np.array([[0.95, 0.05], [0.55, 0.45]], np.float32)
    labels = np.array([1, 0])
    assert calibration_error(rows, labels, bins=1).error == pytest.approx(abs(0.95 - 0.45) / 2)
    assert calibration_error(rows, labels, bins=10).error == pytest.approx((0.95 + 0.45) / 2)


def test_certainty_and_zero_lie_inside_the_bins() -> None:
    assert calibration_error(np.eye(3, dtype=np.float32), np.arange(3)).error == 0
    assert calibration_error(np.zeros((2, 3), np.float32), np.zeros(2, np.int64)).error == 1


def test_the_interval_holds_the_truth_about_95_times_in_100() -> None:
    held = []
    for seed in range(40):
        confidence = np.full(300, 0.9)
        found = calibration_error(*answers(300, confidence - 0.15, confidence, seed), seed=seed)
        assert found.low <= found.error <= found.high
        held.append(found.low <= 0.15 <= found.high)
    assert np.mean(held) >= 0.85


def test_the_interval_is_seeded() -> None:
    confidence = np.full(100, 0.9)
    data = answers(100, confidence - 0.2, confidence)
    assert calibration_error(*data, seed=1) == calibration_error(*data, seed=1) != calibration_error(*data, seed=2)
