"""A user's own network, named `module:factory` and called as `factory(signature, **options)`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from raytune_app.errors import InputError
from raytune_app.models.signature import Signature


def custom_network(factory: str, options: Mapping[str, Any], signature: Signature) -> nn.Module:
    """Import the factory, call it and try the network on two blank pictures.

    Raises:
        InputError: the module or factory is not there, raises, or gives no network of the signature's shapes.
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
    pictures = torch.zeros(2, signature.channels, signature.image_size, signature.image_size)
    wanted = (2, len(signature.classes))
    was_training = network.training
    try:
        with torch.no_grad():
            output: object = network.eval()(pictures)
    except Exception as error:
        raise InputError(
            f"model.factory {factory}: the network fails on pictures {tuple(pictures.shape)}: {_describe(error)}",
            "take its sizes from the signature",
        ) from error
    network.train(was_training)
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if shape != wanted:
        raise InputError(
            f"model.factory {factory}: the network gives {shape} for 2 pictures, not {wanted}",
            "end it with one output for each of signature.classes",
        )


def _describe(error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line}"
