"""Rules between the data and what is to become of them: pictures and texts want different networks and settings."""

from __future__ import annotations

from collections.abc import Iterator

from raytune_app.errors import Problem
from raytune_app.spec.grammar import (
    PICTURE_AUGMENT,
    TEXT_AUGMENT,
    AugmentSpec,
    DataSpec,
    Experiment,
    TextBagSpec,
    TextCnnSpec,
    TextModelSpec,
    TokensSpec,
)

_OF_A_FILE = ("validation_path", "test_path", "text", "label", "encoding", "leakage")


def data_is_described(experiment: Experiment) -> Iterator[Problem]:
    """What each data set needs, and what it has no use for."""
    data = experiment.data
    if data.name == "image_folder" and not data.path:
        yield Problem("data.path", "missing", "image_folder needs the folder of the pictures", "add `path:`")
    if data.name == "image_folder" and not data.image_size:
        yield Problem("data.image_size", "missing", "pictures of any size need a common one", "add `image_size: 64`")
    if data.name == "text_file" and not data.path:
        yield Problem("data.path", "missing", "text_file needs the file of the texts", "add `path: reviews.csv`")
    if data.is_text and data.image_size:
        yield Problem("data.image_size", str(data.image_size), f"{data.name} has no pictures", "remove `image_size`")
    if data.is_text and data.name != "text_file" and data.path:
        yield Problem("data.path", data.path, f"{data.name} is part of the package", "remove `path`")
    if data.neutral and data.name != "sentences/sentiment":
        yield Problem("data.neutral", "true", "belongs to sentences/sentiment", "remove `neutral`")
    if data.validation_path and data.validation != DataSpec.model_fields["validation"].default:
        rule = "is not held out where data.validation_path names a file"
        yield Problem("data.validation", f"{data.validation:g}", rule, "remove one of the two")
    for name in _OF_A_FILE:
        if data.name != "text_file" and getattr(data, name) != DataSpec.model_fields[name].default:
            yield Problem(f"data.{name}", str(getattr(data, name)), "belongs to text_file", f"remove `{name}`")


def network_takes_the_data(experiment: Experiment) -> Iterator[Problem]:
    """Texts want a network for texts, pictures one for pictures; a user's own takes either."""
    data, model = experiment.data, experiment.model
    if data.is_text and model.name in ("tutorial_cnn", "conv_net"):
        yield Problem("model.name", model.name, f"takes pictures, and {data.name} has texts", "use text_cnn")
    if not data.is_text and isinstance(model, TextModelSpec):
        yield Problem("model.name", model.name, f"takes texts, and {data.name} has pictures", "use conv_net")
    if not data.is_text and model.name == "custom" and model.tokens is not None:
        yield Problem("model.tokens", "given", f"{data.name} has pictures", "remove `tokens`")
    if isinstance(model, TextCnnSpec | TextBagSpec) and model.embedding != "random" and model.vectors is None:
        rule = "needs vectors to begin with"
        yield Problem("model.embedding", str(model.embedding), rule, "add `vectors: FILE`, or use `random`")
    if isinstance(model, TextCnnSpec | TextBagSpec) and model.embedding == "random" and model.vectors is not None:
        yield Problem("model.vectors", model.vectors, "is read by no `random` embedding", "use `embedding: non_static`")
    vectors = getattr(model, "vectors", None)
    if vectors is not None and "://" in vectors:
        yield Problem("model.vectors", vectors, "is read from a folder that every node sees", "give a path, not a URI")
    tokens = model.tokens if isinstance(model, TextModelSpec) else TokensSpec()
    if tokens.kind in ("word", "char") and tokens.ngram != TokensSpec.model_fields["ngram"].default:
        yield Problem("model.tokens.ngram", str(tokens.ngram), f"does nothing to kind {tokens.kind}", "remove `ngram`")
    if isinstance(model, TextCnnSpec) and len(set(model.widths)) < len(model.widths):
        yield Problem("model.widths", str(list(model.widths)), "has a width twice", "raise `maps` for more filters")


def augmentation_is_of_the_data(experiment: Experiment) -> Iterator[Problem]:
    """No setting is silently without effect."""
    wrong = PICTURE_AUGMENT if experiment.data.is_text else TEXT_AUGMENT
    what = "texts" if experiment.data.is_text else "pictures"
    for name in wrong:
        value = getattr(experiment.augment, name)
        if value != AugmentSpec.model_fields[name].default:
            yield Problem(f"augment.{name}", str(value), f"does nothing to {what}", "remove it")
