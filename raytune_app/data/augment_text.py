"""Random changes of a batch of texts as tensor arithmetic on its device, each text changed by itself.

After word dropout (Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic Methods for Text Classification")
and random swap (Wei and Zou 2019, "EDA", here of neighbours).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raytune_app.data.vocabulary import PADDING, UNKNOWN


@dataclass(frozen=True, slots=True)
class TextAugmentation:
    """How training texts are changed.

    Attributes:
        word_dropout: probability that a token becomes unknown.
        swap: probability that a token changes places with the next one; a token moves by one place at most.
    """

    word_dropout: float
    swap: float

    @property
    def is_off(self) -> bool:
        return not (self.word_dropout or self.swap)

    def __call__(self, ids: Tensor, rng: torch.Generator) -> Tensor:
        """Change ids [B, L]; padding stays padding and where it is.

        Args:
            ids: the batch; it is not written to.
            rng: on the device of the batch, the only source of randomness.
        """
        if self.swap:
            ids = swap_neighbours(ids, _uniform(ids, rng) < self.swap)
        if self.word_dropout:
            ids = torch.where((_uniform(ids, rng) < self.word_dropout) & (ids != PADDING), UNKNOWN, ids)
        return ids


def swap_neighbours(ids: Tensor, wanted: Tensor) -> Tensor:
    """Change places [b, i] and [b, i + 1] where `wanted`, bool [B, L], is true.

    Where swaps would overlap, every second one is left out; so are those with padding.
    """
    follower = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], PADDING)], 1)
    wanted = wanted & (follower != PADDING)
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    last_free = torch.where(wanted, -1, places).cummax(1).values  # the place before a run of wanted swaps
    first = wanted & ((places - last_free) % 2 == 1)
    second = torch.cat([torch.zeros_like(first[:, :1]), first[:, :-1]], 1)
    before = torch.cat([ids[:, :1], ids[:, :-1]], 1)
    return torch.where(first, follower, torch.where(second, before, ids))


def _uniform(ids: Tensor, rng: torch.Generator) -> Tensor:
    return torch.rand(ids.shape, generator=rng, device=ids.device)
