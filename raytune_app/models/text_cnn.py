"""Filters over neighbouring tokens, the largest answer of each over the whole text, and a linear layer.

Paper: Y. Kim, "Convolutional Neural Networks for Sentence Classification", 2014, arXiv:1408.5882.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from raytune_app.models.embedding import Embedding, EmbeddingMode, Pretrained, lengths


class TextCnn(nn.Module):
    """Ids int64 [B, L], padded at the end with 0, to logits [B, K].

    A filter of width w looks at every window of w places that holds at least one token of the text: n + w - 1 windows
    for n tokens, zero vectors beyond both ends, as in Kim's program. Windows of nothing but padding do not count, so an
    answer does not depend on the batch a text is in, and a text may be shorter than the filters.

    Args:
        vocabulary_size: V, padding and unknown included.
        classes: K.
        dimension: of a token's vector.
        widths: of the filters, in tokens.
        maps: filters of each width.
        dropout: probability of zeroing a filter's answer.
        max_norm: of the linear layer's weights for one class; None for no bound.
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
        widths: Sequence[int] = (3, 4, 5),
        maps: int = 100,
        dropout: float = 0.5,
        max_norm: float | None = 3.0,
        embedding: EmbeddingMode = "random",
        pretrained: Pretrained | None = None,
    ) -> None:
        super().__init__()
        self.embedding = Embedding(
            vocabulary_size=vocabulary_size, dimension=dimension, mode=embedding, pretrained=pretrained
        )
        self.widths = tuple(widths)
        self.convolutions = nn.ModuleList(nn.Conv1d(dimension, maps, width, padding=width - 1) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(maps * len(widths), classes)
        self.max_norm = max_norm

    def forward(self, ids: Tensor) -> Tensor:
        vectors, counts = self.embedding(ids).transpose(1, 2), lengths(ids)
        answers = [
            _largest(conv(vectors), counts + width - 1)
            for width, conv in zip(self.widths, self.convolutions, strict=True)
        ]
        # ReLU never falls, so it may follow the maximum: one number for each filter
        return cast("Tensor", self.linear(self.dropout(torch.cat(answers, 1).relu())))

    @torch.no_grad()
    def constrain(self) -> None:
        """Shrink each class's weights whose norm is above `max_norm` to just below it: call it after every step."""
        if self.max_norm is not None:
            weight = self.linear.weight
            norms = weight.double().norm(dim=1, keepdim=True)
            shrunk = weight * (self.max_norm * (1 - 1e-6) / norms)  # less a little: rounding must not lift it above
            weight.copy_(torch.where(norms > self.max_norm, shrunk, weight))


def _largest(answers: Tensor, counts: Tensor) -> Tensor:
    """The largest of the first `counts` [B] answers [B, M, P], as [B, M]."""
    beyond = torch.arange(answers.shape[2], device=answers.device) >= counts[:, None]
    return answers.masked_fill(beyond[:, None], -torch.inf).amax(2)
