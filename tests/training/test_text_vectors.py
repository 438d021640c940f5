"""Networks that begin with vectors out of a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from raytune_app.data.arrays import Training
from raytune_app.data.vectors import read_vectors
from raytune_app.data.vocabulary import PADDING
from raytune_app.errors import DataError, InputError
from raytune_app.models.signature import TextSignature
from raytune_app.spec import parse
from raytune_app.training import examples
from raytune_app.training.examples import fingerprint_of
from raytune_app.training.run import Run, build_classifier

MakeRun = Callable[..., Run]
D = 5
FILE = {
    word: np.random.default_rng(seed).normal(size=D).astype(np.float32)
    for seed, word in enumerate(("good", "bad", "other", "film"))
}


@pytest.fixture(scope="module")
def data(text_training: Callable[..., Training]) -> Training:
    return text_training([("good film", 0), ("bad film", 1), ("rare good", 0), ("rare bad", 1)] * 3)


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """As of GloVe: a word and its numbers a line."""
    path = tmp_path / "small.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, vector.tolist()))}\n" for word, vector in FILE.items()))
    return path


def model(name: str, mode: str, path: Path, dimension: int = D) -> dict[str, Any]:
    return {"name": name, "embedding": mode, "vectors": str(path), "dimension": dimension}


def table(run: Run, name: str) -> Tensor:
    found = run.classifier.state_dict()[f"network.embedding.{name}"]
    assert isinstance(found, Tensor)
    return found.clone()


def rows(run: Run) -> dict[str, int]:
    """The row of each word that the file has too."""
    assert isinstance(run.classifier.signature, TextSignature)
    tokens = run.classifier.signature.tokenizer.vocabulary.tokens
    return {token: row for row, token in enumerate(tokens, 2) if token in FILE}


def is_the_files(found: Tensor, run: Run) -> bool:
    return all(np.allclose(found[row], FILE[word], rtol=1e-6) for word, row in rows(run).items())


@pytest.mark.parametrize("name", ["text_bag", "text_cnn"])
def test_static_rows_are_the_files_and_stay_so(
    make_text_run: MakeRun, data: Training, vectors: Path, name: str
) -> None:
    run = make_text_run(data, model(name, "static", vectors), lr=0.1, batch_size=4)
    assert set(rows(run)) == {"good", "bad", "film"}
    before = table(run, "frozen")
    assert is_the_files(before, run)
    assert not before[PADDING].any()
    run.train_epoch()
    assert torch.equal(table(run, "frozen"), before)


@pytest.mark.parametrize("name", ["text_bag", "text_cnn"])
def test_non_static_rows_begin_as_the_files_and_learn(
    make_text_run: MakeRun, data: Training, vectors: Path, name: str
) -> None:
    run = make_text_run(data, model(name, "non_static", vectors), lr=0.1, batch_size=4)
    assert is_the_files(table(run, "learned"), run)
    before = table(run, "learned")
    run.train_epoch()
    after = table(run, "learned")
    assert all(not torch.equal(after[row], before[row]) for row in rows(run).values())
    assert not after[PADDING].any()


def test_multichannel_has_the_files_rows_twice_and_one_of_them_learns(
    make_text_run: MakeRun, data: Training, vectors: Path
) -> None:
    run = make_text_run(data, model("text_cnn", "multichannel", vectors), lr=0.1, batch_size=4)
    assert is_the_files(table(run, "frozen"), run) and is_the_files(table(run, "learned"), run)
    run.train_epoch()
    assert is_the_files(table(run, "frozen"), run) and not is_the_files(table(run, "learned"), run)


def test_a_dimension_that_is_not_the_files_is_named(make_text_run: MakeRun, data: Training, vectors: Path) -> None:
    with pytest.raises(InputError, match=r"5 numbers, the network needs .* of 7") as caught:
        make_text_run(data, model("text_cnn", "static", vectors, 7))
    assert "model.dimension" in str(caught.value.remedy)


def test_a_network_whose_stored_weights_come_next_reads_no_file(
    text_experiment: Callable[..., Any], make_text_run: MakeRun, data: Training, vectors: Path
) -> None:
    settings = model("text_cnn", "multichannel", vectors)
    run = make_text_run(data, settings, lr=0.1)
    run.train_epoch()
    vectors.unlink()
    with pytest.raises(DataError, match=vectors.name):
        build_classifier(text_experiment(settings), data, seed=0)
    again = build_classifier(text_experiment(settings), data)
    again.load_state_dict(run.classifier.state_dict())
    ids = torch.tensor([[2, 3, 4]])
    assert torch.equal(again.eval()(ids), run.classifier.eval()(ids))


def test_the_trials_of_a_process_read_the_file_once_and_again_if_it_changed(
    make_text_run: MakeRun, data: Training, vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: list[str] = []

    def read(path: str, *arguments: Any, **options: Any) -> Any:
        paths.append(path)
        return read_vectors(path, *arguments, **options)

    monkeypatch.setattr(examples, "read_vectors", read)
    for name in ("text_bag", "text_cnn"):
        make_text_run(data, model(name, "static", vectors))
    assert paths == [str(vectors)]
    vectors.write_text(f"good{' 1' * D}\n")
    os.utime(vectors, (1, 1))
    run = make_text_run(data, model("text_bag", "static", vectors))
    assert table(run, "frozen")[rows(run)["good"]].tolist() == [1] * D


def test_a_study_knows_its_file_of_vectors_by_content(data: Training, vectors: Path) -> None:
    experiment = parse(
        {"name": "x", "data": {"name": "sentences/topic"}, "model": model("text_cnn", "static", vectors)}
    )
    before = fingerprint_of(experiment, data)
    assert before == fingerprint_of(experiment, data) != data.fingerprint
    vectors.write_text(vectors.read_text().replace("1", "2"))
    assert fingerprint_of(experiment, data) != before


def test_few_words_with_vectors_are_told_of(
    make_text_run: MakeRun, data: Training, vectors: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_text_run(data, model("text_bag", "static", vectors))
    assert not caplog.records
    first = vectors.read_text().splitlines()[0]
    vectors.write_text(first + "\n")
    make_text_run(data, model("text_bag", "static", vectors))
    assert "has vectors for 1 of the 4 tokens" in caplog.text
