"""Whether one of two classifiers is really better, from their answers to the same examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class McNemar:
    """The test of equal error rates (McNemar 1947).

    Attributes:
        only_a: examples that the first alone answered rightly, often written b.
        only_b: examples that the second alone answered rightly, often written c.
        statistic: (|b - c| - 1)^2 / (b + c), with the correction of Edwards 1948; about chi-squared, one degree.
        p_value: two-sided, exact: that of b among b + c throws of a fair coin.
    """

    only_a: int
    only_b: int
    statistic: float
    p_value: float


def mcnemar(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> McNemar:
    """Compare two classifiers by which examples they answered rightly, bool [N] each, in the same order."""
    from scipy.stats import binomtest  # takes long to load

    assert right_a.shape == right_b.shape and right_a.dtype == right_b.dtype == np.bool_, (right_a, right_b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    differ = only_a + only_b
    if not differ:
        return McNemar(0, 0, 0.0, 1.0)
    statistic = max(abs(only_a - only_b) - 1, 0) ** 2 / differ
    return McNemar(only_a, only_b, statistic, float(binomtest(only_a, differ).pvalue))
