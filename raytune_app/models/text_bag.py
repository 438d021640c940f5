"""The baseline a network for text has to beat: the mean of the tokens' vectors, and a linear layer.

Paper: A. Joulin et al., "Bag of Tricks for Efficient Text Classification" (fastText), 2016, arXiv:1607.01759.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from raytune_app.models.embedding import Embedding, EmbeddingMode, Pretrained, lengths


class TextBag(nn.Module):
    """Ids int64 [B, L], padded at the end with 0, to logits [B, K]; neither padding nor the order of tokens matters.

    Args:
        vocabulary_size: V, padding and unknown included.
        classes: K.
        dimension: of a token's vector.
        dropout: probability of zeroing a number of the mean.
        embedding: where the vectors come from and whether they learn.
        pretrained: the vectors of all modes but `random`.

    Raises:
        InputError: the pretrained vectors do not fit.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        classes: int,
        dimension: int = 128,
        dropout: float = 0.0,
        embedding: EmbeddingMode = "random",
        pretrained: Pretrained | None = None,
    ) -> None:
        super().__init__()
        self.embedding = Embedding(
            vocabulary_size=vocabulary_size, dimension=dimension, mode=embedding, pretrained=pretrained
        )
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(dimension, classes)

    def forward(self, ids: Tensor) -> Tensor:
        mean = self.embedding(ids).sum(1) / lengths(ids)[:, None]  # padding adds zeros to the sum
        return cast("Tensor", self.linear(self.dropout(mean)))
