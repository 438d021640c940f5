"""Small untrained models of texts to register, as the shared `make_draft` makes models of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from raytune_app.registry import Draft

if TYPE_CHECKING:
    import numpy as np

SENTENCES = (
    "a moving film, and a funny one",
    "dull, loud and far too long",
    "I laughed; I cried \N{FACE WITH TEARS OF JOY}",
    "فيلم جميل",
    "",
)

MakeTextDraft = Callable[..., Draft]


@pytest.fixture(scope="session")
def make_text_draft() -> MakeTextDraft:
    """`make_text_draft(seed=0)`: a text_bag with random weights over the words of SENTENCES, with golden samples."""
    return _draft


def _draft(seed: int = 0) -> Draft:
    import numpy as np
    from safetensors.numpy import save as save_arrays
    from safetensors.torch import save as save_tensors

    from raytune_app.data.tokens import TokenizerSettings, build_tokenizer
    from raytune_app.models.catalog import build
    from raytune_app.models.signature import TextSignature
    from raytune_app.models.text_classifier import TextClassifier
    from raytune_app.spec.grammar import TextBagSpec

    spec = TextBagSpec(name="text_bag", dimension=8)
    signature = TextSignature(("bad", "good"), build_tokenizer(TokenizerSettings(), SENTENCES))
    classifier = build(spec, signature, seed).eval()
    assert isinstance(classifier, TextClassifier)
    encoded = [sentence.encode() for sentence in SENTENCES]
    golden: dict[str, np.ndarray] = {
        "utf8": np.frombuffer(b"".join(encoded), np.uint8),
        "offsets": np.cumsum([0, *map(len, encoded)]).astype(np.int64),
        "probabilities": classifier.probabilities(SENTENCES),
    }
    model = {
        "network": spec.model_dump(),
        "signature": signature.to_dict(),
        "golden_tolerance": 1e-4,
        "metrics": {"test": {"accuracy": 0.5}},
        "lineage": {"data": "text_file"},
    }
    return Draft(model, save_tensors(dict(classifier.state_dict())), save_arrays(golden), "# a model\n")
