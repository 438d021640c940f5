"""A user's own network, named `module:factory` and called as `factory(signature, **options)`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from raytune_app.errors import InputError
from raytune_app.models.signature import Signature, TextSignature

_LONG, _SHORT = 9, 4
"""Tokens of the two texts that a network is tried on."""


def custom_network(factory: str, options: Mapping[str, Any], signature: Signature) -> nn.Module:
    """Import the factory, call it and try the network on two blank pictures, or on two texts, one of them padded.

    Raises:
        InputError: the module or factory is not there, raises, gives no network of the signature's shapes, or one
            whose answer to a text depends on the padding behind it.
    """
    network = _call(factory, options, signature)
    if not isinstance(network, nn.Module):
        raise InputError(
            f"model.factory {factory} returned {type(network).__name__}, not a torch.nn.Module", "return the network"
        )
    _try(network, factory, signature)
    return network


def _call(factory: str, options: Mapping[str, Any], signature: Signature) -> object:
    module_name, _, name = factory.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        raise InputError(f"model.factory {factory}: {error}", "run beside the module or set PYTHONPATH") from error
    except AttributeError as error:
        raise InputError(f"model.factory: {module_name} has no {name}", "name a function of that module") from error
    except Exception as error:
        raise InputError(f"model.factory {factory}: the import raised {_describe(error)}", "mend it") from error
    try:
        result: object = function(signature, **options)
    except Exception as error:
        raise InputError(
            f"model.factory {factory} failed: {_describe(error)}",
            "it is called as factory(signature, **options); compare with model.options",
        ) from error
    return result


def _try(network: nn.Module, factory: str, signature: Signature) -> None:
    what, inputs = _example(signature)
    wanted = (2, len(signature.classes))
    was_training = network.training
    network.eval()
    output = _outputs(network, factory, inputs, what)
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if shape != wanted:
        raise InputError(
            f"model.factory {factory}: the network gives {shape} for 2 {what}, not {wanted}",
            "end it with one output for each of signature.classes",
        )
    if isinstance(signature, TextSignature):
        alone = _outputs(network, factory, inputs[1:, :_SHORT], what)
        if not torch.allclose(alone[0], output[1], rtol=1e-3, atol=1e-4):
            raise InputError(
                f"model.factory {factory}: what the network answers to a text depends on the padding behind it",
                "leave out the places where the ids are 0, in means and maxima too",
            )
        _outputs(network, factory, inputs[:1, :1], what)
    network.train(was_training)


def _example(signature: Signature) -> tuple[str, torch.Tensor]:
    if isinstance(signature, TextSignature):
        ids = torch.arange(2 * _LONG).view(2, _LONG) % (signature.vocabulary_size - 1) + 1
        ids[1, _SHORT:] = 0
        return "texts", ids
    return "pictures", torch.zeros(2, signature.channels, signature.image_size, signature.image_size)


def _outputs(network: nn.Module, factory: str, inputs: torch.Tensor, what: str) -> Any:
    try:
        with torch.no_grad():
            return network(inputs)
    except Exception as error:
        raise InputError(
            f"model.factory {factory}: the network fails on {what} {tuple(inputs.shape)}: {_describe(error)}",
            "take its sizes from the signature",
        ) from error


def _describe(error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line}"
