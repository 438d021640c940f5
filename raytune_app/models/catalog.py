"""The networks by name: from a ModelSpec and a Signature to a Classifier with seeded weights."""

from __future__ import annotations

import torch
from torch import nn

from raytune_app.errors import InputError
from raytune_app.models.classifier import Classifier
from raytune_app.models.conv_net import ConvNet
from raytune_app.models.custom import custom_network
from raytune_app.models.signature import Signature
from raytune_app.models.tutorial_cnn import TutorialCnn
from raytune_app.spec.grammar import ConvNetSpec, CustomModelSpec, ModelSpec, NoModelSpec, TutorialCnnSpec


def build(model: ModelSpec, signature: Signature, seed: int) -> Classifier:
    """A classifier on the CPU in training mode; the same seed gives the same weights, and no other random state moves.

    Args:
        model: resolved, without search domains.

    Raises:
        InputError: the network cannot be built for this signature.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Classifier(_network(model, signature), signature)


def parameter_count(module: nn.Module) -> int:
    """How many numbers training adjusts."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _network(model: ModelSpec, signature: Signature) -> nn.Module:
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
