"""Which random changes the training examples get, by the experiment and by what the network takes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from raytune_app.data.augment import Augmentation
from raytune_app.data.augment_text import TextAugmentation
from raytune_app.models.signature import Signature, TextSignature
from raytune_app.spec.grammar import AugmentSpec

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""A batch and the only source of randomness to a batch of the same size; the batch is not written to."""


def augmentation_of(augment: AugmentSpec, signature: Signature) -> Augmentation | TextAugmentation:
    """From a resolved experiment's section."""
    if isinstance(signature, TextSignature):
        return TextAugmentation(float(augment.word_dropout), float(augment.swap))
    return Augmentation.of(augment, signature.image_size)
