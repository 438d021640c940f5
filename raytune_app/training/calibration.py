"""Whether a classifier's probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytune_app.training.metrics import Floats, interval_95

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Calibration:
    """The expected calibration error, 0 at best, with its 95 % interval."""

    error: float
    low: float
    high: float


def calibration_error(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], bins: int = 15, *, seed: int = 0
) -> Calibration:
    """How far confidence and accuracy lie apart, in the mean over the examples (Guo et al., ICML 2017, equation 3).

    The interval is the basic bootstrap's (Davison and Hinkley 1997), reflected at the error and widened to hold it:
    noise inside the bins raises the error, and drawing the examples anew raises it as much once more.

    Args:
        probabilities: float32 [N, K], each row adds up to 1; N at least 1.
        labels: int64 [N], the truth.
        bins: of equal width, over the probability of the answered label.
        seed: of the bootstrap.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    gap = confidence - (probabilities.argmax(axis=1) == labels)
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    error = _error(gap, bin_of, bins)
    rng, count = np.random.default_rng(seed), len(gap)
    rows = (rng.integers(0, count, count) for _ in range(_RESAMPLES))
    low, high = interval_95(np.array([_error(gap[row], bin_of[row], bins) for row in rows]))
    return Calibration(error, min(max(2 * error - high, 0.0), error), max(2 * error - low, error))


def _error(gap: Floats, bin_of: NDArray[np.int64], bins: int) -> float:
    return float(np.abs(np.bincount(bin_of, weights=gap, minlength=bins)).sum() / len(gap))
