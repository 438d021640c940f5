"""A deep network for characters: blocks of convolution and ReLU, max pooling between, the largest of all, linear layer.

After X. Zhang, J. Zhao, Y. LeCun, "Character-level Convolutional Networks for Text Classification", 2015,
arXiv:1509.01626, with far fewer layers and maps, learned vectors in place of one-hot ones, and texts of any length.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from raytune_app.data.vocabulary import PADDING
from raytune_app.models.embedding import Embedding


class TextCharCnn(nn.Module):
    """Ids int64 [B, L], padded at the end with 0, to logits [B, K].

    Every block ends with what lies beyond a text at zero: for the next convolution that is the same as the edge of the
    batch, and for pooling, after a ReLU, the smallest there is. So an answer does not depend on the batch a text is in.

    Args:
        vocabulary_size: V, padding and unknown included.
        classes: K.
        dimension: of a character's vector.
        blocks: how many; between two of them, pooling.
        maps: channels of each block.
        kernel: of the convolutions, odd, in characters.
        pool: so many places become one between two blocks; a rest at a text's end is one too.
        dropout: probability of zeroing a number before the linear layer.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        classes: int,
        dimension: int = 32,
        blocks: int = 3,
        maps: int = 128,
        kernel: int = 5,
        pool: int = 3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        assert kernel % 2 == 1, kernel
        self.embedding = Embedding(vocabulary_size=vocabulary_size, dimension=dimension)
        channels = [dimension] + blocks * [maps]
        self.convolutions = nn.ModuleList(nn.Conv1d(a, b, kernel, padding=kernel // 2) for a, b in pairwise(channels))
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(maps, classes)

    def forward(self, ids: Tensor) -> Tensor:
        hidden, real = self.embedding(ids).transpose(1, 2), (ids != PADDING)[:, None]
        for index, conv in enumerate(self.convolutions):
            if index:
                hidden, real = self._pooled(hidden), self._pooled(real.to(hidden.dtype))
            hidden = conv(hidden).relu() * real
        return cast("Tensor", self.linear(self.dropout(hidden.amax(2))))

    def _pooled(self, hidden: Tensor) -> Tensor:
        return F.max_pool1d(hidden, self.pool, ceil_mode=True)
