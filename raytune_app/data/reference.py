"""What a version knows of its own data: which classes it answered, and how its inputs' features are spread."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from raytune_app.data.arrays import Arrays, Examples
from raytune_app.data.features import PICTURE_FEATURES, TEXT_FEATURES, picture_features, text_features

BINS = 10
MAX_EXAMPLES = 10_000
"""Examples that the statistics are taken of."""


class Histogram(BaseModel):
    """How a feature is spread.

    Attributes:
        edges: ascending; bin i holds what is over edge i - 1 and at most edge i, the last what is over every edge.
        counts: examples by bin, one more than edges.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def _bins(self) -> Self:
        if len(self.counts) != len(self.edges) + 1 or list(self.edges) != sorted(set(self.edges)):
            raise ValueError("a histogram needs ascending edges, and one count more than edges")
        return self

    @classmethod
    def of(cls, values: NDArray[np.float64], bins: int = BINS) -> Histogram:
        """Bins of about equal counts; fewer where one value [N] is frequent."""
        edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
        counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
        return cls(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))


class Reference(BaseModel):
    """Statistics of a version over examples that it was not trained on.

    Attributes:
        classes: by index, how many of the examples the version itself gave this class.
        features: by name, in the order in which the features of an example are computed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[int, ...] = Field(min_length=1)
    features: dict[str, Histogram]


def sample(examples: Examples, seed: int = 0) -> Examples:
    """At most MAX_EXAMPLES of them, drawn by chance, in their order."""
    if len(examples) <= MAX_EXAMPLES:
        return examples
    chosen = np.random.default_rng(seed).choice(len(examples), MAX_EXAMPLES, replace=False)
    return examples.take(np.sort(chosen))


def reference(examples: Examples, probabilities: NDArray[np.float32]) -> Reference:
    """The statistics of examples and of what a version answers to them, [N, K]; N is at least 1."""
    assert len(examples) == len(probabilities) > 0, (len(examples), len(probabilities))
    names: tuple[str, ...]
    if isinstance(examples, Arrays):
        names, columns = PICTURE_FEATURES, np.array([picture_features(picture) for picture in examples.images]).T
    else:
        names, columns = TEXT_FEATURES, np.array([text_features(text) for text in examples]).T
    classes = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    features = {name: Histogram.of(column) for name, column in zip(names, columns, strict=True)}
    return Reference(classes=tuple(classes.tolist()), features=features)
