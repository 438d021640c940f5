"""The verb `predict`: what a model says of pictures or texts, by the endpoint that serves it or in this process."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytune_app.cli.door import add_client_options, client_of
from raytune_app.cli.output import result, say
from raytune_app.cli.place import open_registry

if TYPE_CHECKING:
    from raytune_app.endpoint.client import Endpoint
    from raytune_app.registry import ModelVersion

MODEL_HELP = "such as mnist (its champion), mnist@2 or mnist@champion"
PREDICTOR = "serving.versions.predictor"
PROBE_TIMEOUT_S = 1.0
OCTETS = "application/octet-stream"

Answers = list[dict[str, Any]]
"""What the endpoint answers to `classify`: `model`, `version`, `label`, `index`, `probabilities`, one an example."""


def add(subparsers: Any) -> None:
    """Add the verb."""
    predict = subparsers.add_parser("predict", help="classify picture files, or texts")
    predict.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    predict.add_argument(
        "examples",
        metavar="EXAMPLE",
        nargs="+",
        help="a PNG or JPEG file, for a model of texts a text; - for one text a line from standard input",
    )
    predict.add_argument(
        "--url", help="endpoint to ask (default: the one on port 8000 if it has the model, else none is needed)"
    )
    add_client_options(predict)
    predict.set_defaults(run=_predict)


def is_of_texts(found: ModelVersion) -> bool:
    """Whether a version takes texts; else it takes pictures."""
    return "tokenizer" in found.model.get("signature", {})


def noun(found: ModelVersion) -> str:
    """What a version takes, in a word."""
    return "text" if is_of_texts(found) else "picture"


def _predict(args: argparse.Namespace) -> int:
    answers, source, examples = _ask_url(args) if args.url else _ask_nearest(args)
    say(f"answered by {source}")
    lines = [
        f"{example}: {answer['label']} ({answer['probabilities'][answer['label']]:.1%})"
        for example, answer in zip(examples, answers, strict=True)
    ]
    said = [{"example": example, **answer} for example, answer in zip(examples, answers, strict=True)]
    then = [f"raytune serve {args.model}", f"raytune evaluate {args.model.partition('@')[0]}"]
    result(args, "\n".join(lines), {"source": source, "answers": said}, then)
    return 0


def _ask_url(args: argparse.Namespace) -> tuple[Answers, str, list[str]]:
    """By the endpoint of --url: the version it serves, or the one named."""
    from raytune_app.endpoint.client import Endpoint

    name, _, tag = args.model.partition("@")
    version = None if not tag else int(tag) if tag.isdecimal() else open_registry(args).find(args.model).version
    with Endpoint(args.url, **client_of(args)) as endpoint:
        takes_text = endpoint.metadata(name)["inputs"][0]["datatype"] == "BYTES"
        examples = _texts(args.examples) if takes_text else args.examples
        return _asked(endpoint, name, version, examples, takes_text=takes_text), endpoint.url, examples


def _ask_nearest(args: argparse.Namespace) -> tuple[Answers, str, list[str]]:
    """By the endpoint on the default port if it serves this very version, else in this process."""
    from raytune_app.endpoint.client import DEFAULT_URL, Endpoint

    found = open_registry(args).find(args.model)
    takes_text = is_of_texts(found)
    examples = _texts(args.examples) if takes_text else args.examples
    if not _serves(DEFAULT_URL, found):
        return _predict_here(found, examples), f"{found.ref}, loaded here", examples
    with Endpoint(DEFAULT_URL, **client_of(args)) as endpoint:
        return _asked(endpoint, found.name, found.version, examples, takes_text=takes_text), endpoint.url, examples


def _texts(given: Sequence[str]) -> list[str]:
    """The texts of the command line; `-` stands for the lines of standard input."""
    from raytune_app.errors import InputError

    try:
        texts = [text for each in given for text in (_lines(sys.stdin.read()) if each == "-" else [each])]
        for text in texts:
            text.encode()
    except UnicodeError as error:
        raise InputError(f"a text is not UTF-8: {error}", "give it in UTF-8") from error
    if not all(text.strip() for text in texts) or not texts:
        raise InputError("a text is empty", "give words, one text a line with -")
    return texts


def _lines(content: str) -> list[str]:
    """The lines that are not blank; only a line feed ends one, since a text may hold Unicode's other separators."""
    return [line.rstrip("\r") for line in content.split("\n") if line.strip()]


def _asked(endpoint: Endpoint, name: str, version: int | None, examples: Sequence[str], *, takes_text: bool) -> Answers:
    if takes_text:
        return endpoint.classify_texts(name, examples, version=version)
    return [endpoint.classify(name, body, version=version) for body in _files(examples)]


def _serves(url: str, found: ModelVersion) -> bool:
    """Whether an endpoint there holds these very weights: another storage has a version of this name and number too."""
    from raytune_app.endpoint.client import Endpoint
    from raytune_app.errors import RaytuneError
    from raytune_app.manifest import WEIGHTS, sha256

    with Endpoint(url, timeout_s=PROBE_TIMEOUT_S) as endpoint:
        try:
            held = endpoint.overview().get("held", {}).get(found.name, {}).get(str(found.version), {})
        except RaytuneError:  # nobody there, or nobody who knows us
            return False
    return bool(held) and held.get("weights") == sha256(found.read()[WEIGHTS])


def _predict_here(found: ModelVersion, examples: Sequence[str]) -> Answers:
    bodies = [example.encode() for example in examples] if is_of_texts(found) else _files(examples)
    predictor = importlib.import_module(PREDICTOR).Predictor.of(found)  # by name: this package never imports `serving`
    answers = []
    for body in bodies:
        batch, _ = predictor.inputs.read_body(OCTETS, body)
        row = predictor.predict(batch)[0]
        index = int(row.argmax())
        answers.append(
            {
                "model": found.name,
                "version": str(found.version),
                "label": predictor.labels[index],
                "index": index,
                "probabilities": dict(zip(predictor.labels, row.tolist(), strict=True)),
            }
        )
    return answers


def _files(paths: Sequence[str]) -> list[bytes]:
    from raytune_app.picture import read_file

    return [read_file(Path(path)) for path in paths]
