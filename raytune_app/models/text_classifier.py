"""A network for texts with the signature that says how they become ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytune_app.data.tokens import Encoded
from raytune_app.data.vocabulary import PADDING
from raytune_app.models.signature import TextSignature

_TEXTS, _TOKENS = 128, 16_384


class TextClassifier(nn.Module):
    """Ids [B, L], int64, padded at the end with 0, to logits [B, K].

    Args:
        network: the same; an answer must not depend on the padding.
        signature: the classes and the tokenizer.
    """

    def __init__(self, network: nn.Module, signature: TextSignature) -> None:
        super().__init__()
        self.network = network
        self.signature = signature

    def forward(self, ids: Tensor) -> Tensor:
        return cast("Tensor", self.network(ids))

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The texts as this model's ids, on the CPU."""
        return self.signature.tokenizer.encode(texts)

    @torch.inference_mode()
    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Softmax probabilities float32 [N, K], on whatever device the network is, which should be in evaluation mode.

        Texts of like length are computed together, at most 128 and 16,384 tokens at once: how texts fall into batches
        may change the last bits of an answer, but memory stays bounded whatever comes.
        """
        encoded = self.encode(texts)
        device = next(self.parameters()).device
        if len(encoded) == 1:  # the usual request: nothing to sort, nothing to fill up
            alone = torch.from_numpy(encoded.ids).to(device).long()[None]
            return cast("NDArray[np.float32]", self(alone).float().softmax(1).cpu().numpy())
        ids, offsets = torch.from_numpy(encoded.ids).to(device), torch.from_numpy(encoded.offsets).to(device)
        rows = np.empty((len(encoded), len(self.signature.classes)), np.float32)
        for chosen in encoded.batches(_TEXTS, _TOKENS):
            indices = torch.from_numpy(chosen).to(device)
            starts = offsets[indices]
            batch = padded(ids, starts, offsets[indices + 1] - starts)
            rows[chosen] = self(batch).float().softmax(1).cpu().numpy()
        return rows


def padded(ids: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    """Texts out of a flat array, side by side: int64 [B, L], L the longest's length, filled up with padding.

    Args:
        ids: [T], the tokens of many texts one after the other.
        starts: int64 [B], where each text begins.
        lengths: int64 [B], at least 1 each.
    """
    places = torch.arange(int(lengths.max()), device=ids.device)
    inside = places < lengths[:, None]
    found = ids[(starts[:, None] + places).clamp_(max=len(ids) - 1)]
    return torch.where(inside, found, PADDING).long()
