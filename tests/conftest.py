"""Shared by all tests: one local Ray for the session, and small untrained models to register."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from raytune_app.process import environment
from raytune_app.registry import Draft, Registry
from raytune_app.storage import Storage
from tests.s3_server import CREDENTIALS, S3Server, s3_server

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

    with warnings.catch_warnings():  # an import that a warning broke off would leave half of Serve behind
        warnings.simplefilter("ignore")
        importlib.import_module("ray.serve")
    with connect(cpus=2, gpus=0) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server for the session, with the credentials for it in the environment."""
    with environment(CREDENTIALS), s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


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


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, and its key, in one file."""
    import datetime as dt
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return file


Listening = Callable[[Any], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def listening() -> Listening:
    """Puts an ASGI application on a socket of its own, without Ray; used with `with`, it gives the URL."""
    return _listening


@contextmanager
def _listening(application: Any) -> Iterator[str]:
    import socket
    import threading

    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application, log_level="error", ws="none", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
