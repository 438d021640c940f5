"""The defaults that a winner is compared with."""

from __future__ import annotations

from typing import Any

from raytune_app.spec import parse
from raytune_app.tuning.confirm import defaults


def of(model: dict[str, Any], **sections: Any) -> dict[str, Any] | None:
    return defaults(parse({"name": "x", "data": {"name": "sentences/topic"}, "model": model, **sections}))


def test_settings_in_nested_sections_have_theirs() -> None:
    tokens = {"kind": {"choice": ["word", "char"]}, "max_length": {"choice": [64, 128]}}
    assert of({"name": "text_cnn", "tokens": tokens}, train={"lr": {"uniform": [0.1, 0.2]}}) == {
        "model.tokens.kind": "word",
        "model.tokens.max_length": 256,
        "train.lr": 0.001,
    }
    assert of({"name": "text_char_cnn", "tokens": tokens}) == {
        "model.tokens.kind": "char",
        "model.tokens.max_length": 1024,
    }


def test_a_users_own_options_have_none() -> None:
    options = {"width": {"choice": [1, 2]}}
    assert of({"name": "custom", "factory": "nets:net", "options": options}) is None
