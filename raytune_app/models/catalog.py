"""The networks by name: from a ModelSpec and a Signature to a Classifier with seeded weights."""

from __future__ import annotations

from typing import Any, overload

import torch
from torch import nn

from raytune_app.errors import InputError
from raytune_app.models.conv_net import ConvNet
from raytune_app.models.custom import custom_network
from raytune_app.models.embedding import Pretrained
from raytune_app.models.picture_classifier import PictureClassifier
from raytune_app.models.signature import PictureSignature, Signature, TextSignature
from raytune_app.models.text_bag import TextBag
from raytune_app.models.text_char_cnn import TextCharCnn
from raytune_app.models.text_classifier import TextClassifier
from raytune_app.models.text_cnn import TextCnn
from raytune_app.models.tutorial_cnn import TutorialCnn
from raytune_app.spec.grammar import (
    ConvNetSpec,
    CustomModelSpec,
    ModelSpec,
    NoModelSpec,
    TextBagSpec,
    TextCharCnnSpec,
    TextCnnSpec,
    TutorialCnnSpec,
)

Classifier = PictureClassifier | TextClassifier
"""A network with its preprocessing."""


@overload
def build(
    model: ModelSpec, signature: PictureSignature, seed: int, pretrained: Pretrained | None = None
) -> PictureClassifier: ...
@overload
def build(
    model: ModelSpec, signature: TextSignature, seed: int, pretrained: Pretrained | None = None
) -> TextClassifier: ...
@overload
def build(model: ModelSpec, signature: Signature, seed: int, pretrained: Pretrained | None = None) -> Classifier: ...
def build(model: ModelSpec, signature: Signature, seed: int, pretrained: Pretrained | None = None) -> Classifier:
    """A classifier on the CPU in training mode; the same seed gives the same weights, and no other random state moves.

    Args:
        model: resolved, without search domains.
        pretrained: vectors of the signature's tokens; None where stored weights are loaded next, or none are asked for.

    Raises:
        InputError: the network cannot be built for this signature.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if isinstance(signature, TextSignature):
            return TextClassifier(_text_network(model, signature, pretrained), signature)
        return PictureClassifier(_network(model, signature), signature)


def parameter_count(module: nn.Module) -> int:
    """How many numbers training adjusts."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _text_network(model: ModelSpec, signature: TextSignature, pretrained: Pretrained | None) -> nn.Module:
    shape: dict[str, Any] = {"vocabulary_size": signature.vocabulary_size, "classes": len(signature.classes)}
    match model:
        case TextCnnSpec() | TextBagSpec():
            settings = model.model_dump(exclude={"name", "tokens", "vectors"})
            return (TextCnn if isinstance(model, TextCnnSpec) else TextBag)(**shape, **settings, pretrained=pretrained)
        case TextCharCnnSpec():
            return TextCharCnn(**shape, **model.model_dump(exclude={"name", "tokens"}))
        case CustomModelSpec():
            return custom_network(model.factory, model.options, signature)
        case _:
            raise InputError(f"{model.name} takes no texts", "use a network for texts, such as text_cnn")


def _network(model: ModelSpec, signature: PictureSignature) -> nn.Module:
    shape = {"in_channels": signature.channels, "image_size": signature.image_size, "classes": len(signature.classes)}
    match model:
        case TutorialCnnSpec():
            return TutorialCnn(**shape, channels=model.channels)
        case ConvNetSpec():
            return ConvNet(
                **shape,
                blocks=model.blocks,
                width=model.width,
                kernel=model.kernel,
                batch_norm=model.batch_norm,
                dropout=model.dropout,
                activation=model.activation,
            )
        case CustomModelSpec():
            return custom_network(model.factory, model.options, signature)
        case NoModelSpec():
            raise InputError("the experiment has no network", "add `model:`")
        case _:
            raise InputError(f"{model.name} takes no pictures", "use a network for pictures, such as conv_net")
