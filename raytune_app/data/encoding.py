"""Texts of a training as ids: a vocabulary of the training part alone, both parts encoded by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytune_app.data.texts import Texts
from raytune_app.data.tokens import Encoded, Kind, Tokenizer, TokenizerSettings, build_tokenizer
from raytune_app.spec.grammar import CustomModelSpec, Experiment, ModelSpec, TextModelSpec, TokensSpec

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTexts:
    """A tokenizer and what it makes of both parts of a training."""

    tokenizer: Tokenizer
    train: Encoded
    validation: Encoded

    @property
    def nbytes(self) -> int:
        """Of the ids of both parts."""
        return self.train.ids.nbytes + self.validation.ids.nbytes

    def head(self, train: Indices, validation: Indices) -> EncodedTexts:
        """The same tokenizer with the texts at these indices only."""
        return EncodedTexts(self.tokenizer, self.train.take(train), self.validation.take(validation))


def encode_texts(settings: TokenizerSettings, train: Texts, validation: Texts) -> EncodedTexts:
    """Build the vocabulary of `train` and encode both parts. Raises DataError if no token is frequent enough."""
    texts = list(train)
    tokenizer = build_tokenizer(settings, texts)
    return EncodedTexts(tokenizer, tokenizer.encode(texts), tokenizer.encode(list(validation)))


def tokens_of(model: ModelSpec) -> TokenizerSettings:
    """What a resolved network wants as tokens; a user's own that says nothing, words."""
    tokens = model.tokens if isinstance(model, TextModelSpec | CustomModelSpec) else None
    values = (tokens or TokensSpec()).model_dump()
    return TokenizerSettings(**{**values, "kind": Kind(values["kind"])})


def has_fixed_tokens(experiment: Experiment) -> bool:
    """Whether all trials make the same tokens of the same texts, so that they can be encoded once for all."""
    searched = any(path.startswith("model.tokens.") for path in experiment.domains())
    return experiment.data.is_text and experiment.folds is None and not searched
