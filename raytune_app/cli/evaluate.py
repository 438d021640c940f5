"""The verb evaluate: the sealed test set through a running endpoint, and what came of it onto the version's card."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raytune_app.cli.door import add_client_options, client_of
from raytune_app.cli.output import result, say
from raytune_app.cli.place import open_registry
from raytune_app.cli.predict import is_of_texts, noun
from raytune_app.manifest import CARD

if TYPE_CHECKING:
    from raytune_app.endpoint.client import Evaluation
    from raytune_app.registry import ModelVersion
    from raytune_app.spec.grammar import DataSpec


def add(subparsers: Any) -> None:
    """Add the verb."""
    evaluate = subparsers.add_parser("evaluate", help="send the sealed test set through an endpoint")
    evaluate.add_argument("model", metavar="MODEL", help="a name such as mnist, or mnist@2")
    evaluate.add_argument(
        "--url", default="http://127.0.0.1:8000", help="the endpoint (default: http://127.0.0.1:8000)"
    )
    add_client_options(evaluate)
    evaluate.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from raytune_app.data.arrays import Arrays
    from raytune_app.data.catalog import load_test
    from raytune_app.endpoint.client import Endpoint

    with Endpoint(args.url, **client_of(args)) as endpoint:
        name, _, tag = args.model.partition("@")
        metadata = endpoint.metadata(name)
        registry = open_registry(args)
        found = registry.find(args.model if tag else f"{name}@{metadata['versions'][0]}")
        test = load_test(_data_of(found), metadata["labels"])
        say(f"sending {len(test):,} {noun(found)}s to {found.ref} at {endpoint.url}")
        examples = test.images if isinstance(test, Arrays) else list(test)
        evaluation = endpoint.evaluate(found.name, examples, test.labels, version=found.version)
    scores = _scores(evaluation, metadata["labels"])
    example = "'what a lovely film'" if is_of_texts(found) else "digit.png"
    then = [f"raytune predict {args.model} {example} --url {args.url}", "raytune models"]
    report = _report(evaluation, scores, found)
    registry.add_to_card(found.ref, _section(report))
    say(f"written to {found.location}/{CARD}")
    result(args, report, {**_numbers(evaluation), "model": found.ref, "test": scores}, then)
    return 0


def _data_of(found: ModelVersion) -> DataSpec:
    """The data a version was trained on: from its study if that is still there, else by name."""
    from raytune_app.errors import InputError
    from raytune_app.spec.grammar import DataSpec
    from raytune_app.storage import StudyPaths
    from raytune_app.tuning.folder import StudyFolder

    lineage = found.model.get("lineage", {})
    study = StudyFolder(found.storage, StudyPaths(str(lineage.get("study"))))
    if "study" in lineage and found.storage.exists(study.paths.spec):
        return study.experiment().data
    if lineage.get("data") in (None, "image_folder", "text_file"):
        raise InputError(
            f"{found.ref} does not say where its test data is", "keep its study's folder in the same storage"
        )
    return DataSpec(name=lineage["data"], neutral="neutral" in found.model["labels"])


def _scores(evaluation: Evaluation, labels: Sequence[str]) -> dict[str, Any]:
    from raytune_app.training.calibration import calibration_error
    from raytune_app.training.metrics import confusion, report_scores

    scores = report_scores(confusion(evaluation.labels, evaluation.predictions, len(labels)), labels, seed=0)
    calibration = calibration_error(evaluation.probabilities, evaluation.labels)
    return {
        **scores,
        "calibration_error": calibration.error,
        "calibration_error_low": calibration.low,
        "calibration_error_high": calibration.high,
    }


def _section(report: str) -> str:
    """The report as markdown; the same words that the terminal shows."""
    from datetime import UTC, datetime

    at = datetime.now(UTC).isoformat(timespec="seconds")
    return f"## Evaluated through an endpoint, {at}\n\n```\n{report}\n```\n"


def _report(evaluation: Evaluation, scores: dict[str, Any], found: ModelVersion) -> str:
    from raytune_app.cli.summary import champion_text

    registered = (found.model.get("metrics", {}).get("test") or {}).get("accuracy")
    same = (
        ""
        if registered is None
        else f" ({'equal to' if registered == evaluation.accuracy else f'NOT {registered}, as'} registered)"
    )
    return (
        f"{found.ref}: accuracy {evaluation.accuracy:.4f}{same}\n{champion_text(scores)}\n"
        f"one {noun(found)} a request: p50 {evaluation.p50_ms:.2f} ms, p99 {evaluation.p99_ms:.2f} ms\n"
        f"in batches: {evaluation.examples_per_s:,.0f} {noun(found)}s/s"
    )


def _numbers(evaluation: Evaluation) -> dict[str, Any]:
    keys = ("n", "accuracy", "p50_ms", "p99_ms", "examples_per_s")
    return {key: getattr(evaluation, key) for key in keys}
