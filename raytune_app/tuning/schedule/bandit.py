"""Which point to try next, by a Gaussian process whose function changes with time: the bandit of PB2.

Source: Bogunovic et al., Time-Varying Gaussian Process Bandit Optimization, AISTATS 2016, arXiv:1601.06650, for the
kernel; Parker-Holder et al., Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits,
NeurIPS 2020, arXiv:2002.02518, for its use.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)
_FORGETTING = (0.01, 0.05, 0.2, 0.5)
_NOISE = (0.01, 0.1, 0.5)
_CANDIDATES = 512
_CLIP = 2.0
"""Gains further than this many standard deviations from their mean count as this far."""


@dataclass(frozen=True, slots=True)
class _Kernel:
    """Squared exponential in the values, with forgetting: (1 - epsilon)^(|t - t'| / 2) in the time, noise beside it.

    The variances of signal and noise add up to 1, that of standardised gains.
    """

    length: float
    epsilon: float
    noise: float

    def __call__(self, distance: _Distance) -> Floats:
        """Covariances without noise, of the distance's shape."""
        near = np.exp(distance.squares / (-2 * self.length**2) + distance.lags * (0.5 * np.log1p(-self.epsilon)))
        covariance: Floats = (1 - self.noise) * near
        return covariance

    def gram(self, distance: _Distance) -> Floats:
        """Covariances of points with themselves, noise included."""
        return self(distance) + self.noise * np.eye(len(distance.lags))

    def evidence(self, distance: _Distance, gains: Floats) -> float:
        """Log likelihood of the gains, up to a constant."""
        lower = np.linalg.cholesky(self.gram(distance))
        whitened = np.linalg.solve(lower, gains)
        return float(-0.5 * whitened @ whitened - np.log(np.diag(lower)).sum())


@dataclass(frozen=True, slots=True)
class _Distance:
    """Squared distances of values, and differences of times; [N, M] both."""

    squares: Floats
    lags: Floats

    @classmethod
    def of(cls, points: Floats, times: Floats, others: Floats, other_times: Floats) -> Self:
        squares = ((points[:, None, :] - others[None, :, :]) ** 2).sum(axis=-1)
        return cls(squares, np.abs(times[:, None] - other_times[None, :]))


def next_point(
    points: Floats, times: Floats, gains: Floats, beside: Floats, time: float, rng: np.random.Generator
) -> Floats:
    """The candidate with the highest upper confidence bound at `time`.

    The kernel is the likeliest of a grid. The points that train meanwhile have no gain yet: they lower the uncertainty
    around them and leave the mean as it is, so that a batch spreads out.

    Args:
        points: [N, D], in [0, 1].
        times: [N], perturbations since the beginning.
        gains: [N], higher is better.
        beside: [M, D], M may be 0.
        time: of the point that is looked for and of `beside`.
        rng: draws the candidates.

    Returns:
        [D], in [0, 1).
    """
    gains = np.clip((gains - gains.mean()) / (gains.std() + 1e-12), -_CLIP, _CLIP)
    known = _Distance.of(points, times, points, times)
    kernels = [_Kernel(*settings) for settings in itertools.product(_LENGTHS, _FORGETTING, _NOISE)]
    kernel = max(kernels, key=lambda each: each.evidence(known, gains))
    candidates, now = rng.random((_CANDIDATES, points.shape[1])), np.full(_CANDIDATES, time)
    mean = kernel(_Distance.of(candidates, now, points, times)) @ np.linalg.solve(kernel.gram(known), gains)
    taken, taken_times = np.vstack([points, beside]), np.append(times, np.full(len(beside), time))
    cross = kernel(_Distance.of(candidates, now, taken, taken_times))
    gram = kernel.gram(_Distance.of(taken, taken_times, taken, taken_times))
    deviation = np.sqrt(np.maximum(1 - kernel.noise - (cross * np.linalg.solve(gram, cross.T).T).sum(axis=1), 0))
    chosen: Floats = candidates[np.argmax(mean + _boldness(len(points)) * deviation)]
    return chosen


def _boldness(count: int) -> float:
    """sqrt(beta) of the paper: how much uncertainty is worth."""
    return float(np.sqrt(0.2 + max(0.0, np.log(0.4 * count))))
