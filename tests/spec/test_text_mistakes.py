"""What goes with texts and what with pictures: each broken rule, and settings nested in `model.tokens`."""

from typing import Any

import pytest
import yaml

from raytune_app.errors import Problem, SpecError
from raytune_app.spec import parse, resolve
from raytune_app.spec.grammar import TextCharCnnSpec, TextCnnSpec
from raytune_app.spec.reading import merge

TEXTS: dict[str, Any] = {"name": "x", "data": {"name": "sentences/topic"}, "model": {"name": "text_cnn"}}
PICTURES: dict[str, Any] = {"name": "x", "data": {"name": "mnist"}, "model": {"name": "conv_net"}}
FILE: dict[str, Any] = {"name": "x", "data": {"name": "text_file", "path": "a.csv"}, "model": {"name": "text_bag"}}
CUSTOM: dict[str, Any] = {"name": "custom", "factory": "m:f"}
KINDS = {"choice": ["word", "char"]}

CASES: list[tuple[dict[str, Any], dict[str, Any], str, str, str, str]] = [
    # good, changes, path, value, rule, remedy (parts of them)
    (FILE, {"data": {"name": "text_file"}}, "data.path", "missing", "needs the file", "path: reviews.csv"),
    (TEXTS, {"model.tokens.ngram": 4}, "model.tokens.ngram", "4", "does nothing to kind word", "remove `ngram`"),
    (TEXTS, {"model.widths": [3, 3]}, "model.widths", "[3, 3]", "has a width twice", "`maps`"),
    (FILE, {"data.validation_path": "v.csv", "data.validation": 0.3}, "data.validation", "0.3", "not held out", "one"),
    (TEXTS, {"data.path": "here"}, "data.path", "here", "is part of the package", "remove `path`"),
    (TEXTS, {"model.vectors": "v.txt"}, "model.vectors", "v.txt", "no `random` embedding", "non_static"),
    (TEXTS, {"data.image_size": 28}, "data.image_size", "28", "has no pictures", "remove `image_size`"),
    (FILE, {"data.neutral": True}, "data.neutral", "true", "belongs to sentences/sentiment", "remove `neutral`"),
    (PICTURES, {"data.neutral": True}, "data.neutral", "true", "belongs to sentences/sentiment", "remove"),
    (TEXTS, {"data.validation_path": "v.csv"}, "data.validation_path", "v.csv", "text_file", "`validation_path`"),
    (PICTURES, {"data.test_path": "t.csv"}, "data.test_path", "t.csv", "belongs to text_file", "`test_path`"),
    (TEXTS, {"data.text": "review"}, "data.text", "review", "belongs to text_file", "remove `text`"),
    (TEXTS, {"data.label": "stars"}, "data.label", "stars", "belongs to text_file", "remove `label`"),
    (TEXTS, {"data.encoding": "latin-1"}, "data.encoding", "latin-1", "belongs to text_file", "remove"),
    (PICTURES, {"data.leakage": "drop"}, "data.leakage", "drop", "belongs to text_file", "remove `leakage`"),
    (FILE, {"data.leakage": "dorp"}, "data.leakage", "dorp", "'error'", "did you mean 'drop'"),
    (TEXTS, {"model": {"name": "conv_net"}}, "model.name", "conv_net", "takes pictures", "use text_cnn"),
    (TEXTS, {"model": {"name": "tutorial_cnn"}}, "model.name", "tutorial_cnn", "has texts", "use text_cnn"),
    (PICTURES, {"model": {"name": "text_cnn"}}, "model.name", "text_cnn", "takes texts", "use conv_net"),
    (PICTURES, {"model": {"name": "text_bag"}}, "model.name", "text_bag", "mnist has pictures", "use conv_net"),
    (PICTURES, {"model": {"name": "text_char_cnn"}}, "model.name", "text_char_cnn", "takes texts", "use conv_net"),
    (PICTURES, {"model": {**CUSTOM, "tokens": {}}}, "model.tokens", "given", "has pictures", "remove `tokens`"),
    (TEXTS, {"model.embedding": "static"}, "model.embedding", "static", "needs vectors", "vectors: FILE"),
    (FILE, {"model.embedding": "multichannel"}, "model.embedding", "multichannel", "needs vectors", "random"),
    (
        TEXTS, {"model.embedding": {"choice": ["random", "static"]}},
        "model.embedding", "static", "needs vectors", "vectors: FILE",
    ),
    (TEXTS, {"augment.flip": 0.5}, "augment.flip", "0.5", "does nothing to texts", "remove"),
    (TEXTS, {"augment.crop_padding": 2}, "augment.crop_padding", "2", "does nothing to texts", "remove"),
    (TEXTS, {"augment.shift": {"uniform": [0, 0.1]}}, "augment.shift", "uniform", "does nothing", "remove"),
    (PICTURES, {"augment.word_dropout": 0.1}, "augment.word_dropout", "0.1", "does nothing to pictures", "remove"),
    (PICTURES, {"augment.swap": 0.1}, "augment.swap", "0.1", "does nothing to pictures", "remove"),
    (TEXTS, {"augment.swap": 1}, "augment.swap", "1", "less than 1", "change"),
    (TEXTS, {"model.dimenson": 3}, "model.dimenson", "dimenson", "unknown key", "did you mean 'dimension'"),
    (FILE, {"model.dropuot": 3}, "model.dropuot", "dropuot", "unknown key", "did you mean 'dropout'"),
    (TEXTS, {"model": {"name": "text_char_cnn", "bloks": 3}}, "model.bloks", "bloks", "unknown key", "'blocks'"),
    (TEXTS, {"model.tokens.knid": "char"}, "model.tokens.knid", "knid", "unknown key", "did you mean 'kind'"),
    (TEXTS, {"model.tokens.max_lenght": 9}, "model.tokens.max_lenght", "lenght", "unknown key", "'max_length'"),
    (TEXTS, {"model.tokens.xyzzy": 9}, "model.tokens.xyzzy", "xyzzy", "unknown key", "known keys: kind, lower"),
    (TEXTS, {"model": {**CUSTOM, "tokens": {"lwer": 1}}}, "model.tokens.lwer", "lwer", "unknown key", "'lower'"),
    (TEXTS, {"model.tokens.kind": "chars"}, "model.tokens.kind", "chars", "'word'", "did you mean 'char'"),
    (TEXTS, {"model.tokens": "char"}, "model.tokens", "char", "must be a mapping", "key: value"),
    (TEXTS, {"model.tokens.ngram": 6}, "model.tokens.ngram", "6", "less than or equal to 5", "change"),
    (
        TEXTS, {"model.tokens.ngram": {"randint": [2, 9]}},
        "model.tokens.ngram", "6", "less than or equal to 5", "change",
    ),
    (TEXTS, {"model.widths": []}, "model.widths", "[]", "at least 1 item", "change"),
    (TEXTS, {"model.name": "textcnn"}, "model.name", "textcnn", "must be one of tutorial_cnn", "'text_cnn'"),
    (TEXTS, {"train.class_weights": "balance"}, "train.class_weights", "balance", "'none'", "'balanced'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("good", "changes", "path", "value", "rule", "remedy"),
    CASES,
    ids=[f"{case[0]['data']['name']} {case[1]}" for case in CASES],
)
def test_a_mistake_has_path_value_rule_and_remedy(
    good: dict[str, Any], changes: dict[str, Any], path: str, value: str, rule: str, remedy: str
) -> None:
    parse(good)
    with pytest.raises(SpecError) as caught:
        parse(merge(good, changes))
    problems: dict[str, Problem] = {problem.path: problem for problem in caught.value.problems}
    assert list(problems) == [path]
    assert value in problems[path].value
    assert rule in problems[path].rule
    assert remedy in problems[path].remedy


@pytest.mark.parametrize(
    ("good", "changes"),
    [
        (FILE, {"data": {**FILE["data"], "validation_path": "v", "test_path": "t", "text": "a", "leakage": "warn"}}),
        ({**TEXTS, "data": {"name": "sentences/sentiment"}}, {"data.neutral": True}),
        (TEXTS, {"augment": {"word_dropout": 0.1, "swap": {"uniform": [0, 0.2]}}}),
        (TEXTS, {"model": {**CUSTOM, "tokens": {"kind": "char"}}}),
        (PICTURES, {"model": CUSTOM}),
        (TEXTS, {"model.embedding": "static", "model.vectors": "v.txt"}),
        ({**TEXTS, "model": {"name": "none"}, "trial": "m:f"}, {"data.name": "sentences/topic"}),
    ],
)
def test_what_belongs_together_passes(good: dict[str, Any], changes: dict[str, Any]) -> None:
    parse(merge(good, changes))


@pytest.mark.parametrize("model", ["text_cnn", "text_bag", "text_char_cnn", "custom"])
def test_a_domain_in_the_tokens_is_found_resolved_and_written_out(model: str) -> None:
    settings = {"name": model, "tokens": {"kind": KINDS, "max_size": {"randint": [100, 200]}}}
    experiment = parse({**TEXTS, "model": settings | ({"factory": "m:f"} if model == "custom" else {})})
    assert list(experiment.domains()) == ["model.tokens.kind", "model.tokens.max_size"]
    assert experiment.domains()["model.tokens.kind"].to_dict() == KINDS
    assert parse(experiment.to_dict()) == experiment
    assert parse(yaml.safe_load(experiment.to_yaml())) == experiment
    resolved = resolve(experiment, {"model.tokens.kind": "char", "model.tokens.max_size": 150})
    tokens = resolved.to_dict()["model"]["tokens"]
    assert (tokens["kind"], tokens["max_size"], tokens["lower"]) == ("char", 150, True)
    assert not resolved.domains()
    assert parse(resolved.to_dict()) == resolved


def test_a_domain_in_the_tokens_left_without_a_value_is_named() -> None:
    with pytest.raises(SpecError, match=r"model\.tokens\.kind: a domain: needs a value"):
        resolve(parse(merge(TEXTS, {"model.tokens.kind": KINDS})), {})


def test_characters_are_what_a_network_for_characters_takes_unless_told_otherwise() -> None:
    default = parse({**TEXTS, "model": {"name": "text_char_cnn"}}).model
    told = parse({**TEXTS, "model": {"name": "text_char_cnn", "tokens": {"kind": "word"}}}).model
    partly = parse({**TEXTS, "model": {"name": "text_char_cnn", "tokens": {"lower": False}}}).model
    words = parse(TEXTS).model
    assert isinstance(default, TextCharCnnSpec) and isinstance(told, TextCharCnnSpec)
    assert isinstance(partly, TextCharCnnSpec) and isinstance(words, TextCnnSpec)
    assert (default.tokens.kind, default.tokens.max_length) == ("char", 1024)
    assert [told.tokens.kind, partly.tokens.kind, words.tokens.kind] == ["word", "char", "word"]


def test_widths_read_back_as_they_were() -> None:
    experiment = parse(merge(TEXTS, {"model.widths": [2, 7]}))
    assert experiment.to_dict()["model"]["widths"] == [2, 7]
    assert parse(experiment.to_dict()) == experiment


def test_tokens_do_not_change_while_a_trial_trains() -> None:
    perturbed = {
        "scheduler": {"name": "pbt"},
        "trials": 8,
        "model.tokens.max_length": {"randint": [9, 99], "perturb": True},
    }
    with pytest.raises(SpecError, match=r"model\.tokens\.max_length\.perturb.* cannot change while"):
        parse(merge(TEXTS, perturbed))
