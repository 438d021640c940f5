"""Scores of a classifier, all from one confusion table, and how sure one can be of them.

Macro scores are plain means over the classes, weighted scores means weighted by the classes' examples; a quotient 0 / 0
counts as 0, as in scikit-learn's default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

SCORE_TITLES = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "weighted_precision": "weighted precision",
    "weighted_recall": "weighted recall",
    "weighted_f1": "weighted F1",
}
"""How people read the keys of `report_scores` that carry an interval."""

MACROS = ("macro_precision", "macro_recall", "macro_f1")
WEIGHTED = ("weighted_precision", "weighted_recall", "weighted_f1")
_Z_95 = 1.959963984540054
_RESAMPLES = 2000


def confusion(labels: Counts, predictions: Counts, classes: int) -> Counts:
    """Count pairs: int64 [K, K], row = truth, column = prediction. Both are int [N] with values below `classes`."""
    pairs = np.asarray(labels, np.int64) * classes + np.asarray(predictions, np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one confusion table; the per-class ones are float64 [K], `support` int64 [K]."""

    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    weighted_precision: float
    weighted_recall: float
    weighted_f1: float
    precision: Floats
    recall: Floats
    f1: Floats
    support: Counts

    @classmethod
    def of(cls, table: Counts) -> Scores:
        """From a confusion table [K, K], row = truth."""
        precision, recall, f1 = _per_class(table)
        means = {name: float(mean) for name, mean in _means(table, (precision, recall, f1)).items()}
        accuracy = float(np.trace(table) / max(int(table.sum()), 1))
        return cls(accuracy, **means, precision=precision, recall=recall, f1=f1, support=table.sum(axis=1))


def wilson_95(successes: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = successes / total, _Z_95**2 / total
    centre = (share + z2 / 2) / (1 + z2)
    half = _Z_95 / (1 + z2) * math.sqrt(share * (1 - share) / total + z2 / (4 * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap_95(table: Counts, seed: int) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of the macro and weighted scores: the test examples drawn anew 2000 times (Efron 1979).

    Drawing N examples with replacement is drawing a confusion table from a multinomial, which costs K*K, not N.
    """
    total = int(table.sum())
    if total == 0:
        return dict.fromkeys(MACROS + WEIGHTED, (0.0, 1.0))
    rng = np.random.default_rng(seed)
    tables = rng.multinomial(total, table.ravel() / total, size=_RESAMPLES).reshape(-1, *table.shape)
    return {name: interval_95(values) for name, values in _means(tables, _per_class(tables)).items()}


def interval_95(values: Floats) -> tuple[float, float]:
    """The 2.5 % and the 97.5 % quantile of values drawn anew, float64 [R]."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def report_scores(table: Counts, classes: Sequence[str], seed: int) -> dict[str, Any]:
    """All there is to say of a confusion table, as plain values safe for JSON.

    Returns:
        `n`; `accuracy`, the macro and the weighted scores, each with `_low` and `_high` (95 %); `per_class`, a list of
        {label, precision, recall, f1, support}; `confusion`, rows = truth.
    """
    scores, total = Scores.of(table), int(table.sum())
    intervals = {"accuracy": wilson_95(int(np.trace(table)), total), **bootstrap_95(table, seed)}
    report: dict[str, Any] = {"n": total}
    for name, (low, high) in intervals.items():
        report |= {name: getattr(scores, name), f"{name}_low": low, f"{name}_high": high}
    return report | {"per_class": _rows(scores, classes), "confusion": table.tolist()}


def _rows(scores: Scores, classes: Sequence[str]) -> list[dict[str, Any]]:
    columns = zip(classes, scores.precision, scores.recall, scores.f1, scores.support, strict=True)
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in columns
    ]


def _per_class(table: Counts) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 [..., K] of confusion tables [..., K, K]."""
    hits = np.diagonal(table, axis1=-2, axis2=-1)
    predicted, actual = table.sum(axis=-2), table.sum(axis=-1)
    return _ratio(hits, predicted), _ratio(hits, actual), _ratio(2 * hits, predicted + actual)


def _means(table: Counts, per_class: tuple[Floats, Floats, Floats]) -> dict[str, Floats]:
    """Macro and weighted means [...] of the scores [..., K] of confusion tables [..., K, K]."""
    support = table.sum(axis=-1)
    total = np.maximum(support.sum(axis=-1), 1)
    macro = {name: scores.mean(axis=-1) for name, scores in zip(MACROS, per_class, strict=True)}
    weighted = {name: (scores * support).sum(axis=-1) / total for name, scores in zip(WEIGHTED, per_class, strict=True)}
    return macro | weighted


def _ratio(above: Counts, below: Counts) -> Floats:
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
