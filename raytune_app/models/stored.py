"""A classifier again, from what a model version's folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from safetensors.torch import load as load_tensors

from raytune_app.models.catalog import Classifier, build
from raytune_app.models.signature import signature_from_dict
from raytune_app.spec.grammar import ModelSpec


def rebuild(model: Mapping[str, Any], weights: bytes) -> Classifier:
    """The classifier in evaluation mode, without gradients.

    Args:
        model: the content of model.json.
        weights: the bytes of weights.safetensors.

    Raises:
        KeyError, ValueError, RuntimeError, SafetensorError, RaytuneError: they do not make a network.
    """
    spec: ModelSpec = TypeAdapter(ModelSpec).validate_python(model["network"])
    classifier = build(spec, signature_from_dict(model["signature"]), seed=0)
    classifier.load_state_dict(load_tensors(weights))
    return classifier.eval().requires_grad_(False)
