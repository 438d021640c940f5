"""A user's own networks for texts: what the trial before any training lets through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from raytune_app.data.tokens import TokenizerSettings, build_tokenizer
from raytune_app.errors import InputError
from raytune_app.models.catalog import Classifier, build
from raytune_app.models.signature import TextSignature
from raytune_app.spec.grammar import CustomModelSpec

CUSTOM = """
import torch
from torch import nn

class Mean(nn.Module):
    def __init__(self, signature, dimension, careful):
        super().__init__()
        self.table = nn.Embedding(signature.vocabulary_size, dimension)
        self.out = nn.Linear(dimension, len(signature.classes))
        self.careful = careful

    def forward(self, ids):
        vectors = self.table(ids)
        if not self.careful:
            return self.out(vectors.mean(1))
        real = (ids != 0)[:, :, None]
        return self.out((vectors * real).sum(1) / real.sum(1).clamp(min=1))

def mean(signature, *, dimension=4, careful=True):
    return Mean(signature, dimension, careful)

class Largest(Mean):
    def forward(self, ids):
        vectors = self.table(ids) - 10 * (ids != 0)[:, :, None]
        return self.out(vectors.amax(1))

def largest(signature):
    return Largest(signature, 4, True)

class Wide(Mean):
    def forward(self, ids):
        windows = self.table(ids).transpose(1, 2).unfold(2, 3, 1).amax(3)
        real = (ids != 0)[:, None, 2:]
        return self.out(windows.masked_fill(~real, -9.0).amax(2))

def needs_three(signature):
    return Wide(signature, 4, True)

class Places(Mean):
    def forward(self, ids):
        return super().forward(ids)[:, None].expand(-1, ids.shape[1], -1)

def a_label_a_place(signature):
    return Places(signature, 4, True)

class Flat(nn.Module):
    def __init__(self, signature):
        super().__init__()
        self.out = nn.Linear(9, len(signature.classes))

    def forward(self, ids):
        return self.out(ids.float())

def of_nine_tokens(signature):
    return Flat(signature)

def small_table(signature):
    short = nn.Embedding(3, len(signature.classes))
    return nn.Sequential(short, nn.Flatten())

class Normed(Mean):
    def __init__(self, signature):
        super().__init__(signature, 4, True)
        self.norm = nn.BatchNorm1d(len(signature.classes))
        self.dropout = nn.Dropout(0.5)

    def forward(self, ids):
        return self.dropout(self.norm(super().forward(ids)))

def normed(signature):
    return Normed(signature)
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_text_networks.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(str(tmp_path))


def built(factory: str, seed: int = 0, **options: Any) -> Classifier:
    tokenizer = build_tokenizer(TokenizerSettings(), ["one two three four five six seven eight"])
    spec = CustomModelSpec(name="custom", factory=f"my_text_networks:{factory}", options=options)
    return build(spec, TextSignature(("a", "b", "c"), tokenizer), seed)


def test_a_network_that_leaves_the_padding_out_is_taken() -> None:
    classifier = built("mean", dimension=7)
    assert classifier.training
    answers = classifier.eval()(torch.tensor([[2, 3, 0, 0], [2, 3, 4, 5]]))
    assert answers.shape == (2, 3)
    assert torch.allclose(answers[:1], classifier(torch.tensor([[2, 3]])), atol=1e-6)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == 10 * 7 + 7 * 3 + 3


@pytest.mark.parametrize(("factory", "options"), [("mean", {"careful": False}), ("largest", {})])
def test_a_network_to_which_padding_matters_is_refused(factory: str, options: dict[str, Any]) -> None:
    for seed in range(5):
        with pytest.raises(InputError, match=f"my_text_networks:{factory}: .*depends on the padding") as caught:
            built(factory, seed, **options)
        assert "ids are 0" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("a_label_a_place", r"gives \(2, 9, 3\) for 2 texts, not \(2, 3\)"),
        ("of_nine_tokens", r"fails on texts \(1, 4\): RuntimeError"),
        ("needs_three", r"fails on texts \(1, 1\): RuntimeError"),
        ("small_table", r"fails on texts \(2, 9\): IndexError"),
    ],
)
def test_a_network_that_does_not_fit_texts_is_one_clear_error(factory: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        built(factory)
    assert "signature" in str(caught.value.remedy)


def test_it_is_tried_as_it_will_answer_and_given_back_as_it_was() -> None:
    """In training mode dropout and batch norm would make two answers differ."""
    classifier = built("normed")
    assert classifier.training and all(module.training for module in classifier.modules())
    assert torch.equal(classifier.network.norm.running_mean, torch.zeros(3))  # type: ignore[union-attr,arg-type]


def test_the_seed_decides_the_weights() -> None:
    one, again, other = (built("mean", seed).state_dict()["network.table.weight"] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
