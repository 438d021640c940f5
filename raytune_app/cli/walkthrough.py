"""The demo's steps, in the order a person would take them by hand."""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import raytune_app
from raytune_app.cli.experiment import Finished, code_paths, finish, next_commands, run_trials
from raytune_app.cli.interrupt import terminate_as_interrupt, wait_for_interrupt
from raytune_app.cli.output import result, say
from raytune_app.cli.place import open_storage
from raytune_app.cluster import Cluster, connect
from raytune_app.data.arrays import Arrays, Examples
from raytune_app.data.catalog import load_test
from raytune_app.endpoint.client import Endpoint, Evaluation
from raytune_app.endpoint.deployment import Deployment, deploy
from raytune_app.endpoint.plan import check_port
from raytune_app.errors import EndpointError, InputError
from raytune_app.spec import Experiment, load
from raytune_app.tuning.crown import Champion
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.study import prepare

SHOWN = 4
SHADES = " .:-=+*#%@"


def walk_through(args: argparse.Namespace) -> int:
    """Tune, choose, score, register, serve, evaluate; then stop everything, or with --keep wait for Ctrl-C."""
    started = time.monotonic()
    terminate_as_interrupt()
    check_port(args.port)
    file = _experiment_file("text_sentiment.yaml" if args.text else "demo.yaml")
    experiment = load(file)
    storage = open_storage(args)
    with connect() as cluster:
        _title(1, "a local Ray")
        say(f"dashboard: {cluster.login}")
        _title(2, f"tune {experiment.model.name} on {experiment.data.name}: {experiment.trials} trials")
        prepared = prepare(experiment, storage, code_paths(file.parent))
        outcome = run_trials(prepared)
        _title(3, "the winner on the sealed test part")
        finished = finish(prepared, outcome)
        if finished is None:
            result(
                args,
                f"interrupted; the study's folder opens: {outcome.folder.location}",
                {"study": outcome.folder.study},
            )
            return 1
        return _serve_and_evaluate(args, cluster, experiment, finished, started)


def _serve_and_evaluate(
    args: argparse.Namespace, cluster: Cluster, experiment: Experiment, finished: Finished, started: float
) -> int:
    assert experiment.register_as is not None and finished.version is not None and finished.champion is not None
    model = experiment.register_as.model
    storage = finished.outcome.folder.storage
    test = load_test(experiment.data, finished.champion.test["labels"])
    _title(4, f"serve {model} version {finished.version}")
    with deploy(cluster, {model: finished.version}, storage.uri, port=args.port) as deployment:
        endpoint = Endpoint(deployment.url)
        _show_examples(endpoint, model, test, finished.champion.test["labels"])
        noun = "pictures" if isinstance(test, Arrays) else "texts"
        _title(5, f"evaluate all {len(test):,} test {noun} through the endpoint")
        evaluation = endpoint.evaluate(model, test.images if isinstance(test, Arrays) else list(test), test.labels)
        say(_compared(evaluation, finished.champion))
        _title(6, "where everything is")
        _summary(args, experiment, finished, evaluation, deployment, started)
        if args.keep:
            say(f"dashboard {cluster.dashboard_url} and endpoint {deployment.url} stay until Ctrl-C")
            wait_for_interrupt()
    return 0


def _show_examples(endpoint: Endpoint, model: str, test: Examples, labels: Sequence[str]) -> None:
    for index in range(SHOWN):
        if isinstance(test, Arrays):
            shown, body, media = _drawn(test.images[index]), _png(test.images[index]), "image/png"
        else:
            shown, body, media = f"  {test.text(index)}", test.text(index).encode(), "text/plain"
        answer = endpoint.classify(model, body, media)
        label = answer["label"]
        say(
            f"{shown}\n  answer {label} ({answer['probabilities'][label]:.1%}), "
            f"truth {labels[test.labels[index]]}, version {answer['version']}\n"
        )


def _compared(evaluation: Evaluation, champion: Champion) -> str:
    differing = int((evaluation.predictions != champion.predictions).sum())
    if differing:
        raise EndpointError(
            f"{differing} of the endpoint's answers differ from step 3's", "please report this as a fault"
        )
    return (
        f"accuracy {evaluation.accuracy:.4f}, every answer of {evaluation.n:,} equal to step 3's; "
        f"one at a time p50 {evaluation.p50_ms:.2f} ms, p99 {evaluation.p99_ms:.2f} ms; "
        f"{evaluation.examples_per_s:,.0f} examples/s in batches"
    )


def _summary(
    args: argparse.Namespace,
    experiment: Experiment,
    finished: Finished,
    evaluation: Evaluation,
    deployment: Deployment,
    started: float,
) -> None:
    folder = finished.outcome.folder
    assert experiment.register_as is not None and finished.champion is not None
    model = experiment.register_as.model
    content: dict[str, Any] = {
        "study": folder.study,
        "folder": folder.location,
        "model": f"{model}@{finished.version}",
        "test_accuracy": finished.champion.test["accuracy"],
        "endpoint_accuracy": evaluation.accuracy,
        "p50_ms": evaluation.p50_ms,
        "p99_ms": evaluation.p99_ms,
        "examples_per_s": evaluation.examples_per_s,
        "seconds": round(time.monotonic() - started, 1),
    }
    model_folder = folder.storage.location(f"models/{model}/{finished.version}")
    text = f"study   {folder.location}\nmodel   {model_folder}\ntook    {content['seconds']:.0f} s"
    by_hand = [
        f"raytune run experiments/{'text_sentiment' if args.text else 'demo'}.yaml",
        *next_commands(finished, experiment),
        f"raytune predict {model} {_example(folder)}",
        f"raytune evaluate {model} --url {deployment.url}",
    ]
    result(args, text, content, by_hand)


def _example(folder: StudyFolder) -> str:
    """Something to try the commands on by hand: a real digit, put into the study's folder, or a text."""
    test = load_test(folder.experiment().data)
    if not isinstance(test, Arrays):
        return "'what a lovely film'"
    path = folder.paths / "digit.png"
    folder.storage.write(path, _png(test.images[0]))
    return folder.storage.location(path)


def _experiment_file(name: str) -> Path:
    file = Path(raytune_app.__file__).parents[1] / "experiments" / name
    if not file.exists():
        raise InputError("the demo's experiment file is not here", "run the demo from a checkout of the project")
    return file


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[0]).save(buffer, "PNG")
    return buffer.getvalue()


def _drawn(image: NDArray[np.uint8]) -> str:
    """A grey picture [1, H, W] in characters: every second row, since a character is twice as high as wide."""
    rows = image[0, ::2] // 26
    return "\n".join("  " + "".join(SHADES[level] for level in row) for row in rows if row.any())


def _title(step: int, text: str) -> None:
    say(f"\n[{step}/6] {text}")
