"""Verbs of the endpoint: serve, predict, evaluate."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytune_app.cli.output import result, say
from raytune_app.cli.place import open_registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from raytune_app.cluster import Cluster
    from raytune_app.deployment import Deployment
    from raytune_app.endpoint import Evaluation
    from raytune_app.registry import ModelVersion
    from raytune_app.spec.grammar import DataSpec

MODEL_HELP = "such as mnist (its champion), mnist@2 or mnist@champion"
PREDICTOR = "serving.predictor"
PROBE_TIMEOUT_S = 1.0

Answers = dict[str, dict[str, Any]]
"""What the endpoint answers to `classify`, by file."""


def add(subparsers: Any) -> None:
    """Add the verbs of this group."""
    serve = subparsers.add_parser("serve", help="answer requests over HTTP until Ctrl-C")
    serve.add_argument("models", metavar="MODEL", nargs="+", help=MODEL_HELP)
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    serve.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    serve.add_argument("--replicas", type=_positive, default=1, help="processes that answer (default: 1)")
    serve.add_argument("--cpus", type=_positive, default=1, help="CPUs of each process (default: 1)")
    serve.add_argument("--address", help="address of a running Ray (default: $RAY_ADDRESS, else an embedded local one)")
    serve.set_defaults(run=_serve)
    predict = subparsers.add_parser("predict", help="classify picture files")
    predict.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    predict.add_argument("files", metavar="FILE", nargs="+", help="a PNG or JPEG file")
    predict.add_argument(
        "--url", help="endpoint to ask (default: the one on port 8000 if it has the model, else none is needed)"
    )
    predict.set_defaults(run=_predict)
    evaluate = subparsers.add_parser("evaluate", help="send the sealed test set through an endpoint")
    evaluate.add_argument("model", metavar="MODEL", help="a name such as mnist")
    evaluate.add_argument(
        "--url", default="http://127.0.0.1:8000", help="the endpoint (default: http://127.0.0.1:8000)"
    )
    evaluate.set_defaults(run=_evaluate)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _serve(args: argparse.Namespace) -> int:
    from raytune_app.cli.interrupt import terminate_as_interrupt, wait_for_interrupt
    from raytune_app.cluster import connect
    from raytune_app.deployment import check_port, deploy

    models = _resolve(args)
    if not args.address:
        check_port(args.port, args.host)
    terminate_as_interrupt()
    say("starting Ray")
    where = {"host": args.host, "port": args.port, "replicas": args.replicas, "cpus": args.cpus}
    with (
        connect(args.address) as cluster,
        deploy(cluster, models, open_registry(args).storage.uri, **where, progress=say) as deployment,
    ):
        _announce(args, cluster, deployment)
        wait_for_interrupt()
        say("stopping")
    say("stopped; nothing is left running" if cluster.embedded else "stopped; the cluster goes on")
    return 0


def _resolve(args: argparse.Namespace) -> dict[str, int]:
    """The versions to serve. Raises InputError if two of one model are named."""
    from raytune_app.errors import InputError

    models: dict[str, int] = {}
    for ref in args.models:
        found = open_registry(args).find(ref)
        if models.setdefault(found.name, found.version) != found.version:
            raise InputError(f"two versions of {found.name!r} are named", "serve one version of each model")
    return models


def _announce(args: argparse.Namespace, cluster: Cluster, deployment: Deployment) -> None:
    models = dict(deployment.plan.models)
    name = next(iter(models))
    text = f"ready at {deployment.url}: {', '.join(f'{model}@{version}' for model, version in models.items())}"
    content = {"url": deployment.url, "models": models, "dashboard": cluster.dashboard_url}
    then = [
        f"curl --data-binary @digit.png {deployment.url}/v2/models/{name}/classify",
        f"raytune predict {name} digit.png --url {deployment.url}",
        f"raytune evaluate {name} --url {deployment.url}",
    ]
    result(args, text, content, then)
    say(f"Ray dashboard: {cluster.login}\nCtrl-C stops")


def _predict(args: argparse.Namespace) -> int:
    from raytune_app.picture import read_file

    pictures = {file: read_file(Path(file)) for file in args.files}
    answers, source = _ask_url(args, pictures) if args.url else _ask_nearest(args, pictures)
    say(f"answered by {source}")
    lines = [
        f"{file}: {answer['label']} ({answer['probabilities'][answer['label']]:.1%})"
        for file, answer in answers.items()
    ]
    content = {"source": source, "answers": [{"file": file, **answer} for file, answer in answers.items()]}
    then = [f"raytune serve {args.model}", f"raytune evaluate {args.model.partition('@')[0]}"]
    result(args, "\n".join(lines), content, then)
    return 0


def _ask_url(args: argparse.Namespace, pictures: Mapping[str, bytes]) -> tuple[Answers, str]:
    """By the endpoint of --url: the version it serves, or the one named."""
    from raytune_app.endpoint import Endpoint

    name, _, tag = args.model.partition("@")
    version = None if not tag else int(tag) if tag.isdecimal() else open_registry(args).find(args.model).version
    with Endpoint(args.url) as endpoint:
        return {file: endpoint.classify(name, body, version=version) for file, body in pictures.items()}, endpoint.url


def _ask_nearest(args: argparse.Namespace, pictures: Mapping[str, bytes]) -> tuple[Answers, str]:
    """By the endpoint on the default port if it serves this very version, else in this process."""
    from raytune_app.endpoint import DEFAULT_URL, Endpoint

    found = open_registry(args).find(args.model)
    if not _serves(DEFAULT_URL, found):
        return _predict_here(found, pictures), f"{found.ref}, loaded here"
    with Endpoint(DEFAULT_URL) as endpoint:
        classify = functools.partial(endpoint.classify, found.name, version=found.version)
        return {file: classify(body) for file, body in pictures.items()}, endpoint.url


def _serves(url: str, found: ModelVersion) -> bool:
    from raytune_app.endpoint import Endpoint
    from raytune_app.errors import NotReadyError

    with Endpoint(url, timeout_s=PROBE_TIMEOUT_S) as endpoint:
        try:
            return endpoint.ready(found.name, found.version)
        except NotReadyError:  # it refused this version; here it may be whole
            return False


def _predict_here(found: ModelVersion, pictures: Mapping[str, bytes]) -> Answers:
    import importlib

    from raytune_app.picture import decode

    predictor = importlib.import_module(PREDICTOR).Predictor.of(found)  # by name: this package never imports `serving`
    answers = {}
    for file, body in pictures.items():
        probabilities = predictor.predict(decode(body, predictor.shape)[None])[0]
        index = int(probabilities.argmax())
        by_label = dict(zip(predictor.labels, probabilities.tolist(), strict=True))
        version = str(found.version)
        label = predictor.labels[index]
        answers[file] = {
            "model": found.name,
            "version": version,
            "label": label,
            "index": index,
            "probabilities": by_label,
        }
    return answers


def _evaluate(args: argparse.Namespace) -> int:
    from raytune_app.data.catalog import load_test
    from raytune_app.endpoint import Endpoint

    with Endpoint(args.url) as endpoint:
        metadata = endpoint.metadata(args.model)
        found = open_registry(args).find(f"{args.model}@{metadata['versions'][0]}")
        test = load_test(_data_of(found))
        say(f"sending {len(test):,} pictures to {found.ref} at {endpoint.url}")
        evaluation = endpoint.evaluate(found.name, test.images, test.labels)
    scores = _scores(evaluation, test.labels, metadata["labels"])
    then = [f"raytune predict {args.model} digit.png --url {args.url}", "raytune models"]
    result(args, _report(evaluation, scores, found), {**_numbers(evaluation), "model": found.ref, "test": scores}, then)
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
    if "data" not in lineage or lineage["data"] == "image_folder":
        raise InputError(
            f"{found.ref} does not say where its test data is", "keep its study's folder in the same storage"
        )
    return DataSpec(name=lineage["data"])


def _scores(evaluation: Evaluation, truth: NDArray[np.int64], labels: Sequence[str]) -> dict[str, Any]:
    from raytune_app.training.metrics import confusion, report_scores

    return report_scores(confusion(truth, evaluation.predictions, len(labels)), labels, seed=0)


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
        f"one picture a request: p50 {evaluation.p50_ms:.2f} ms, p99 {evaluation.p99_ms:.2f} ms\n"
        f"in batches: {evaluation.images_per_s:,.0f} images/s"
    )


def _numbers(evaluation: Evaluation) -> dict[str, Any]:
    keys = ("n", "accuracy", "p50_ms", "p99_ms", "images_per_s")
    return {key: getattr(evaluation, key) for key in keys}
