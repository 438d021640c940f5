"""Shared by all tests: one local Ray for the session, and small untrained models to register."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from raytune_app.registry import Draft, Registry
from raytune_app.storage import Storage

if TYPE_CHECKING:
    import numpy as np

    from raytune_app.cluster import Cluster

settings.register_profile("shared_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared_machine")

MakeDraft = Callable[..., Draft]

SENTENCES = (
    "a moving film, and a funny one",
    "dull, loud and far too long",
    "I laughed; I cried \N{FACE WITH TEARS OF JOY}",
    "فيلم جميل",
    "",
)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Cluster]:
    """An embedded Ray of two CPUs; mark tests that use it with `ray`."""
    from raytune_app.cluster import connect

    with connect(cpus=2, gpus=0) as cluster:
        yield cluster


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


@pytest.fixture
def registry(storage: Storage) -> Registry:
    return Registry(storage)


@pytest.fixture(scope="session")
def make_draft() -> MakeDraft:
    """`make_draft(seed=0, size=28, channels=1)`: a model with random weights, complete with golden samples."""
    return _draft


def _draft(seed: int = 0, size: int = 28, channels: int = 1, classes: int = 10) -> Draft:
    import numpy as np
    import torch
    from safetensors.numpy import save as save_arrays
    from safetensors.torch import save as save_tensors

    from raytune_app.models.catalog import build
    from raytune_app.models.signature import PictureSignature
    from raytune_app.spec.grammar import TutorialCnnSpec
    from raytune_app.training.predict import predict

    spec = TutorialCnnSpec(name="tutorial_cnn")
    labels = tuple(f"class {index}" for index in range(classes))
    signature = PictureSignature(channels, size, labels, (0.13,) * channels, (0.31,) * channels)
    classifier = build(spec, signature, seed).eval()
    inputs = np.random.default_rng(seed).integers(0, 256, (16, channels, size, size), np.uint8)
    golden = {"inputs": inputs, "probabilities": predict(classifier, inputs, device=torch.device("cpu"))}
    model = {
        "network": spec.model_dump(),
        "signature": signature.to_dict(),
        "inputs": [channels, size, size],
        "golden_tolerance": 1e-4,
        "metrics": {"test": {"accuracy": 0.5}},
        "lineage": {"data": "mnist"},
    }
    return Draft(model, save_tensors(dict(classifier.state_dict())), save_arrays(golden), "# a model\n")


@pytest.fixture(scope="session")
def make_text_draft() -> MakeDraft:
    """`make_text_draft(seed=0)`: a text_bag with random weights over the words of SENTENCES, with golden samples."""
    return _text_draft


def _text_draft(seed: int = 0) -> Draft:
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
