"""Whole small studies of texts, from a user's own file to a version."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.torch import load as load_tensors

from raytune_app.data.texts import Texts
from raytune_app.data.tokens import build_tokenizer
from raytune_app.errors import InputError
from raytune_app.manifest import GOLDEN, WEIGHTS
from raytune_app.models.catalog import build
from raytune_app.models.signature import TextSignature, signature_from_dict
from raytune_app.models.text_classifier import TextClassifier
from raytune_app.registry import Registry
from raytune_app.spec import Experiment, parse
from raytune_app.storage import Storage
from raytune_app.tuning.view import Role, StudyState

if TYPE_CHECKING:
    from raytune_app.cluster import Cluster
    from raytune_app.tuning.ending import Outcome
    from raytune_app.tuning.study import Prepared

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """160 texts of some words that tell the class and some that do not."""
    rng = np.random.default_rng(0)
    telling = (["bad", "awful", "dull"], ["good", "lovely", "great"])
    filler = ["film", "was", "and", "the", "we", "saw"]
    lines = [
        f"{' '.join(rng.choice(filler, 4))} {rng.choice(telling[number % 2])} {number},{('no', 'yes')[number % 2]}"
        for number in range(160)
    ]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(["review,stars", *lines]) + "\n")
    return path


def _experiment(reviews: Path, **changes: Any) -> Experiment:
    content: dict[str, Any] = {
        "name": "texts",
        "seed": 5,
        "data": {"name": "text_file", "path": str(reviews), "text": "review", "label": "stars", "validation": 0.25},
        "model": {"name": "text_bag", "dimension": {"choice": [8, 16]}, "tokens": {"min_count": 2}},
        "train": {"epochs": 1, "batch_size": 8, "lr": {"loguniform": [0.1, 0.2]}, "speed": "plain"},
        "augment": {"word_dropout": 0.1},
        "scheduler": {"name": "fifo"},
        "trials": 2,
        "resources": {"concurrent": 1},
        "register": {"model": "reviews"},
    }
    return parse({**content, **changes})


def _run(experiment: Experiment, storage: Storage) -> tuple["Prepared", "Outcome"]:
    from raytune_app.tuning import study

    prepared = study.prepare(experiment, storage)
    return prepared, study.tune(prepared)


def _published(prepared: "Prepared", outcome: "Outcome", storage: Storage) -> tuple[TextClassifier, Any, Any]:
    """The version's network, built from its files alone; its model.json; its golden samples."""
    from raytune_app.tuning.crown import crown
    from raytune_app.tuning.publish import publish

    experiment, register = prepared.experiment, prepared.experiment.register_as
    assert outcome.winner is not None and register is not None
    champion = crown(outcome.folder, experiment, outcome.winner, prepared.data)
    assert champion.test["accuracy"] > 0.8, "the sealed texts, which no trial has seen"
    assert publish(outcome.folder, champion, prepared.data, register) == 1
    version = Registry(storage).find("reviews@champion")
    files = version.read()
    signature = signature_from_dict(version.model["signature"])
    network = parse({**experiment.to_dict(), "model": version.model["network"], "search": {}, "trials": None}).model
    classifier = build(network, signature, seed=99)
    assert isinstance(classifier, TextClassifier)
    classifier.load_state_dict(load_tensors(files[WEIGHTS]))
    return classifier.eval(), version.model, load_arrays(files[GOLDEN])


def test_a_study_of_a_file_registers_a_version_that_answers_from_its_own_files(
    ray_cluster: "Cluster", storage: Storage, reviews: Path
) -> None:
    from raytune_app.data.catalog import load_test

    prepared, outcome = _run(_experiment(reviews), storage)
    assert outcome.state is StudyState.FINISHED
    assert len(outcome.view.trials) == 2
    assert prepared.data.encoded is not None, "encoded once for all trials"
    classifier, model, golden = _published(prepared, outcome, storage)
    assert model["labels"] == model["signature"]["classes"] == ["no", "yes"]
    tokenizer = model["signature"]["tokenizer"]
    assert (tokenizer["kind"], tokenizer["min_count"]) == ("word", 2)
    assert {"film", "good", "awful"} <= set(tokenizer["vocabulary"])
    assert not any(token.isdigit() for token in tokenizer["vocabulary"]), "each of them occurs once"
    assert golden.keys() == {"utf8", "offsets", "probabilities"}
    texts = list(Texts(golden["utf8"], golden["offsets"], np.zeros(16, np.int64)))
    assert texts == list(prepared.data.texts[1])[:16]
    assert np.abs(classifier.probabilities(texts) - golden["probabilities"]).max() < 1e-4
    spread = np.ptp(golden["probabilities"][:, 0])
    assert spread > 0.1, "samples that all have the same answer would prove nothing"
    test = load_test(prepared.experiment.data)
    assert isinstance(test, Texts)
    right = classifier.probabilities(list(test)).argmax(1) == test.labels
    assert float(right.mean()) == pytest.approx(model["metrics"]["test"]["accuracy"])
    assert model["lineage"]["data_fingerprint"] == prepared.data.fingerprint


def test_a_cross_validated_study_of_texts_ends_with_a_network_of_the_training_parts_vocabulary(
    ray_cluster: "Cluster", storage: Storage, reviews: Path
) -> None:
    searched = {"name": "text_bag", "dimension": 8, "tokens": {"kind": {"choice": ["word", "char_ngram"]}}}
    train = {"epochs": 3, "batch_size": 8, "lr": 0.05, "speed": "plain"}
    prepared, outcome = _run(_experiment(reviews, folds=3, model=searched, train=train), storage)
    assert outcome.winner is not None
    assert prepared.data.encoded is None, "each fold has a vocabulary of its own"
    assert outcome.view.trials[outcome.winner.trial].role is Role.REFIT
    rows = [trial.epochs[0] for trial in outcome.view.trials.values() if trial.role is Role.SEARCH]
    assert len(rows) == 2 and all(row["objective_se"] >= 0 for row in rows)
    classifier, model, golden = _published(prepared, outcome, storage)
    assert isinstance(classifier.signature, TextSignature)
    assert model["signature"]["tokenizer"]["kind"] == outcome.winner.config["model.tokens.kind"]
    tokenizer = classifier.signature.tokenizer
    whole = build_tokenizer(tokenizer.settings, list(prepared.data.texts[0]))
    assert tokenizer.vocabulary.tokens == whole.vocabulary.tokens, "that of the training part, and of all of it"
    texts = list(prepared.data.texts[1])[:16]
    assert np.abs(classifier.probabilities(texts) - golden["probabilities"]).max() < 1e-4


def test_the_study_finds_its_files_from_any_folder(
    ray_cluster: "Cluster", storage: Storage, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raytune_app.tuning import study

    monkeypatch.chdir(reviews.parent)
    (reviews.parent / "test.csv").write_text("review,stars\nquite good,yes\nquite bad,no\n")
    (reviews.parent / "vectors.txt").write_text("good 1 2 3\n")
    data = {**_experiment(reviews).to_dict()["data"], "path": "reviews.csv", "test_path": "test.csv"}
    model = {"name": "text_bag", "dimension": 3, "embedding": "static", "vectors": "vectors.txt"}
    prepared = study.prepare(_experiment(reviews, data=data, model=model), storage)
    stored = prepared.folder.experiment().to_dict()
    found = stored["data"]["path"], stored["data"]["test_path"], stored["model"]["vectors"]
    assert found == tuple(str(reviews.parent / name) for name in ("reviews.csv", "test.csv", "vectors.txt"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "text_bag", "tokens": {"min_count": {"choice": [1, 500]}}}}, "occurs 500 times"),
        ({"model": {"name": "text_bag", "embedding": "static", "vectors": "/no/file.vec"}}, "/no/file.vec"),
        ({"train": {"batch_size": {"choice": [8, 500]}}}, "batch_size 500 is larger"),
        ({"train": {"batch_size": 100}, "folds": 3}, "batch_size 100 is larger than the training part, 9. examples"),
    ],
    ids=["no token frequent enough", "no such vectors", "batch larger than the data", "batch larger than a fold"],
)
def test_what_cannot_train_is_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, ray_cluster: "Cluster", storage: Storage, reviews: Path
) -> None:
    with pytest.raises(InputError, match=message):
        _run(_experiment(reviews, **changes), storage)
    assert storage.folders("studies") == []
