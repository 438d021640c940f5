"""What a run trains on: the data made ready for its network, and put on its device."""

from __future__ import annotations

import functools
import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import torch

from raytune_app.data.arrays import Arrays, Training
from raytune_app.data.encoding import EncodedTexts, encode_texts, has_fixed_tokens, tokens_of
from raytune_app.data.vectors import read_vectors
from raytune_app.data.vocabulary import RESERVED
from raytune_app.errors import DataError
from raytune_app.models.embedding import Pretrained
from raytune_app.models.signature import PictureSignature, Signature, TextSignature
from raytune_app.spec.grammar import Experiment, ModelSpec, TextBagSpec, TextCnnSpec
from raytune_app.training.pictures import Pictures, place
from raytune_app.training.sentences import Sentences

_FEW = 0.5
"""A smaller share of the vocabulary with vectors is worth a warning."""

_log = logging.getLogger(__name__)

Placed = Pictures | Sentences
"""Labelled examples on a device."""


def encode_once(experiment: Experiment, data: Training) -> Training:
    """The data with their texts encoded, where all trials want the same tokens: encoded here, and shared by all."""
    return encoded(experiment.model, data) if has_fixed_tokens(experiment) else data


def encoded(model: ModelSpec, data: Training) -> Training:
    """The data with their texts as ids for this resolved network; pictures as they are.

    Raises:
        DataError: no token is frequent enough.
    """
    if isinstance(data.train, Arrays):
        return data
    settings = tokens_of(model)
    if data.encoded is not None and data.encoded.tokenizer.settings == settings:
        return data
    return replace(data, encoded=encode_texts(settings, *data.texts))


def signature_of(experiment: Experiment, data: Training) -> Signature:
    """What the network of this experiment takes and gives on these data."""
    if isinstance(data.train, Arrays):
        channels, height, width = data.train.images.shape[1:]
        size = experiment.data.image_size or max(height, width)
        return PictureSignature(channels, size, data.classes, data.mean, data.std)
    return TextSignature(data.classes, _texts(encoded(experiment.model, data)).tokenizer)


def fingerprint_of(experiment: Experiment, data: Training) -> str:
    """Of all that a study trains on: the data, and the file of vectors if there is one. As hex.

    Raises:
        DataError: the file cannot be read.
    """
    vectors = getattr(experiment.model, "vectors", None)
    if vectors is None:
        return data.fingerprint
    try:
        with Path(vectors).expanduser().open("rb") as file:
            return data.fingerprint + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{vectors} cannot be read: {error.strerror}", "check model.vectors") from error


def place_examples(data: Training, device: torch.device) -> tuple[Placed, Placed]:
    """The training and the validation part on the device; texts have to be encoded."""
    if isinstance(data.train, Arrays):
        return place(data, device)
    texts, (train, validation) = _texts(data), data.texts
    return (Sentences.of(texts.train, train.labels, device), Sentences.of(texts.validation, validation.labels, device))


def pretrained_for(model: ModelSpec, signature: Signature) -> Pretrained | None:
    """The vectors that a network for texts begins with; None where it draws all of them.

    Raises:
        DataError: the file of vectors cannot be used.
    """
    if not isinstance(model, TextCnnSpec | TextBagSpec) or model.embedding == "random":
        return None
    assert isinstance(signature, TextSignature) and model.vectors is not None, "the spec's rules demand both"
    changed = Path(model.vectors).expanduser()
    stamp = changed.stat().st_mtime_ns if changed.exists() else 0
    return _vectors(model.vectors, stamp, signature.tokenizer.vocabulary.tokens)


@functools.lru_cache(maxsize=1)  # a file of a gigabyte, and the next trial of this process wants the same of it
def _vectors(path: str, stamp: int, tokens: tuple[str, ...]) -> Pretrained:
    rows = {token: row for row, token in enumerate(tokens, RESERVED)}
    matrix, known = read_vectors(path, rows, RESERVED + len(tokens), lower_fallback=True)
    covered = int(known.sum())
    if covered < _FEW * len(tokens):
        _log.warning("%s has vectors for %d of the %d tokens; the others are drawn", path, covered, len(tokens))
    return Pretrained(torch.from_numpy(matrix), torch.from_numpy(known))


def _texts(data: Training) -> EncodedTexts:
    assert data.encoded is not None, "texts that were not encoded"
    return data.encoded
