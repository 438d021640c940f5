"""Vectors of tokens, drawn or pretrained, frozen or learned: the first layer of every network for text.

Paper: Y. Kim, "Convolutional Neural Networks for Sentence Classification", 2014, arXiv:1408.5882, sections 3.1 and 3.2.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raytune_app.data.vocabulary import PADDING
from raytune_app.errors import InputError

EmbeddingMode = Literal["random", "static", "non_static", "multichannel"]

_RANDOM_LIMIT = 0.25
"""Where nothing pretrained sets the variance: that of Kim's own program."""


class Pretrained(NamedTuple):
    """Vectors from elsewhere: `matrix` float32 [V, D], and `known` bool [V], the rows that have one."""

    matrix: Tensor
    known: Tensor


class Embedding(nn.Module):
    """Ids int64 [B, L] to vectors float32 [B, L, D]; padding is the zero vector and never learns.

    Args:
        vocabulary_size: V, padding and unknown included.
        dimension: D.
        mode: `random` draws every row and learns it, whatever `pretrained` is; `static` keeps the pretrained rows and
            the drawn ones of unknown tokens as they are; `non_static` learns them; `multichannel` has both tables and
            gives the sum of their two vectors, which is what a filter sees that is applied to both channels and summed.
        pretrained: without it every row is drawn, as fits a network whose stored weights are loaded next.

    Raises:
        InputError: the pretrained vectors are not [V, D].
    """

    frozen: Tensor | None
    learned: nn.Parameter | None

    def __init__(
        self,
        *,
        vocabulary_size: int,
        dimension: int,
        mode: EmbeddingMode = "random",
        pretrained: Pretrained | None = None,
    ) -> None:
        super().__init__()
        table = _table((vocabulary_size, dimension), None if mode == "random" else pretrained)
        # A buffer, so that no optimizer and no penalty ever sees it
        self.register_buffer("frozen", table if mode in ("static", "multichannel") else None)
        self.register_parameter("learned", None if mode == "static" else nn.Parameter(table.clone()))

    def forward(self, ids: Tensor) -> Tensor:
        tables = [table for table in (self.frozen, self.learned) if table is not None]
        first, *others = (F.embedding(ids, table, padding_idx=PADDING) for table in tables)
        return first + others[0] if others else first


def lengths(ids: Tensor) -> Tensor:
    """How many tokens each text of ids [B, L] has, int64 [B]; a text of none counts as one."""
    return (ids != PADDING).sum(1).clamp(min=1)


def _table(shape: tuple[int, int], pretrained: Pretrained | None) -> Tensor:
    """Unknown rows are drawn from [-a, a], where a gives them the variance of the known ones."""
    if pretrained is None:
        table = torch.empty(shape).uniform_(-_RANDOM_LIMIT, _RANDOM_LIMIT)
    else:
        _check(pretrained, shape)
        variance = float(pretrained.matrix[pretrained.known].var(correction=0))
        limit = math.sqrt(3 * variance)  # of a uniform distribution the variance is a^2 / 3
        table = torch.where(pretrained.known[:, None], pretrained.matrix, torch.empty(shape).uniform_(-limit, limit))
    table[PADDING] = 0
    return table


def _check(pretrained: Pretrained, shape: tuple[int, int]) -> None:
    given = tuple(pretrained.matrix.shape)
    if given != shape:
        raise InputError(
            f"the pretrained vectors are {given[0]} of {given[1]} numbers, the network needs {shape[0]} of {shape[1]}",
            "make model.dimension that of the vectors, and read them for this vocabulary",
        )
    if not bool(pretrained.known.any()):
        raise InputError("no token of the vocabulary has a pretrained vector", "use other vectors, or mode `random`")
