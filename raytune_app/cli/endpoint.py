"""Verbs of the endpoint: serve and evaluate."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raytune_app.cli.output import result, say
from raytune_app.cli.place import open_registry
from raytune_app.cli.predict import MODEL_HELP, is_of_texts, noun

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from raytune_app.cluster import Cluster
    from raytune_app.deployment import Deployment
    from raytune_app.endpoint import Evaluation
    from raytune_app.registry import ModelVersion
    from raytune_app.spec.grammar import DataSpec


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
    takes_text = is_of_texts(open_registry(args).find(f"{name}@{models[name]}"))
    body, example = ("'what a lovely film'", "'what a lovely film'") if takes_text else ("@digit.png", "digit.png")
    then = [
        f"curl --data-binary {body} {deployment.url}/v2/models/{name}/classify",
        f"raytune predict {name} {example} --url {deployment.url}",
        f"raytune evaluate {name} --url {deployment.url}",
    ]
    result(args, text, content, then)
    say(f"try it in a browser: {deployment.url}\nRay dashboard: {cluster.login}\nCtrl-C stops")


def _evaluate(args: argparse.Namespace) -> int:
    from raytune_app.data.arrays import Arrays
    from raytune_app.data.catalog import load_test
    from raytune_app.endpoint import Endpoint

    with Endpoint(args.url) as endpoint:
        metadata = endpoint.metadata(args.model)
        found = open_registry(args).find(f"{args.model}@{metadata['versions'][0]}")
        test = load_test(_data_of(found), metadata["labels"])
        say(f"sending {len(test):,} {noun(found)}s to {found.ref} at {endpoint.url}")
        examples = test.images if isinstance(test, Arrays) else list(test)
        evaluation = endpoint.evaluate(found.name, examples, test.labels)
    scores = _scores(evaluation, test.labels, metadata["labels"])
    example = "'what a lovely film'" if is_of_texts(found) else "digit.png"
    then = [f"raytune predict {args.model} {example} --url {args.url}", "raytune models"]
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
    if lineage.get("data") in (None, "image_folder", "text_file"):
        raise InputError(
            f"{found.ref} does not say where its test data is", "keep its study's folder in the same storage"
        )
    return DataSpec(name=lineage["data"], neutral="neutral" in found.model["labels"])


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
        f"one {noun(found)} a request: p50 {evaluation.p50_ms:.2f} ms, p99 {evaluation.p99_ms:.2f} ms\n"
        f"in batches: {evaluation.examples_per_s:,.0f} {noun(found)}s/s"
    )


def _numbers(evaluation: Evaluation) -> dict[str, Any]:
    keys = ("n", "accuracy", "p50_ms", "p99_ms", "examples_per_s")
    return {key: getattr(evaluation, key) for key in keys}
