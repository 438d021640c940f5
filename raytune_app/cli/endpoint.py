"""The verb serve: an endpoint that follows the registry until Ctrl-C."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from raytune_app.cli.door import KEY_VARIABLE, add_lock_options, lock_of, who_may_ask
from raytune_app.cli.output import result, say
from raytune_app.cli.place import open_registry
from raytune_app.cli.predict import MODEL_HELP, is_of_texts
from raytune_app.cli.watching import add_options, watching

if TYPE_CHECKING:
    from raytune_app.cluster import Cluster
    from raytune_app.endpoint.deployment import Deployment


def add(subparsers: Any) -> None:
    """Add the verbs of this group."""
    serve = subparsers.add_parser("serve", help="answer requests over HTTP until Ctrl-C")
    serve.add_argument("models", metavar="MODEL", nargs="+", help=MODEL_HELP)
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    serve.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    serve.add_argument(
        "--grpc-port", type=int, help="answer gRPC too, on this port of the same host (default: no gRPC)"
    )
    serve.add_argument(
        "--replicas", type=_replicas, default=(1, None), help="processes that answer: 2, or 1..8 by load (default: 1)"
    )
    serve.add_argument("--cpus", type=_positive, default=1, help="CPUs of each process (default: 1)")
    serve.add_argument(
        "--gpus", type=float, default=0, help="part of a GPU for each process, such as 0.25 (default: 0)"
    )
    serve.add_argument(
        "--engine", choices=("auto", "torch"), default="auto", help="auto: the fastest that is right; torch: to the bit"
    )
    serve.add_argument("--address", help="address of a running Ray (default: $RAY_ADDRESS, else an embedded local one)")
    add_options(serve)
    add_lock_options(serve)
    serve.set_defaults(run=_serve)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _replicas(text: str) -> tuple[int, int | None]:
    """`2`, or `1..8`."""
    least, dots, most = text.partition("..")
    return _positive(least), _positive(most) if dots else None


def _serve(args: argparse.Namespace) -> int:
    from raytune_app.cli.interrupt import terminate_as_interrupt, wait_for_interrupt
    from raytune_app.cluster import connect
    from raytune_app.endpoint.deployment import deploy
    from raytune_app.endpoint.plan import check_port
    from raytune_app.rollout.steward import Steward, wanted

    registry = open_registry(args)
    models = wanted(registry, args.models)
    watch, lock = watching(args), lock_of(args)
    if not args.address:
        check_port(args.port, args.host)
    terminate_as_interrupt()
    say("starting Ray")
    where = {name: getattr(args, name) for name in ("host", "port", "grpc_port", "cpus", "gpus", "engine")}
    where |= dict(zip(("replicas", "most"), args.replicas, strict=True))
    with (
        connect(args.address) as cluster,
        deploy(cluster, models, registry.storage.uri, **where, watching=watch, lock=lock, progress=say) as deployment,
    ):
        _announce(args, cluster, deployment)
        wait_for_interrupt(Steward(registry, args.models, deployment, models, say, time.time).step)
        say("stopping")
    say("stopped; nothing is left running" if cluster.embedded else "stopped; the cluster goes on")
    return 0


def _announce(args: argparse.Namespace, cluster: Cluster, deployment: Deployment) -> None:
    models = {name: traffic.champion for name, traffic in deployment.plan.models.items()}
    name = next(iter(models))
    text = f"ready at {deployment.url}: {', '.join(f'{model}@{version}' for model, version in models.items())}"
    content = {"url": deployment.url, "models": models, "dashboard": cluster.dashboard_url}
    if args.grpc_port is not None:
        content["grpc"] = f"{urlsplit(deployment.url).hostname}:{args.grpc_port}"
        text += f"; gRPC at {content['grpc']}"
    takes_text = is_of_texts(open_registry(args).find(f"{name}@{models[name]}"))
    body, example = ("'what a lovely film'", "'what a lovely film'") if takes_text else ("@digit.png", "digit.png")
    lock = deployment.plan.lock
    curl = "curl" + (f" --cacert {lock.tls_cert}" if lock.tls_cert else "")
    curl += f' -H "authorization: Bearer ${KEY_VARIABLE}"' if lock.keys_file else ""
    trust = f" --ca {lock.tls_cert}" if lock.tls_cert else ""
    then = [
        f"{curl} --data-binary {body} {deployment.url}/v2/models/{name}/classify",
        f"raytune predict {name} {example} --url {deployment.url}{trust}",
        f"raytune evaluate {name} --url {deployment.url}{trust}",
    ]
    result(args, text, content, then)
    say(who_may_ask(lock, args.host))
    say(f"try it in a browser: {deployment.url}\nRay dashboard: {cluster.login}\nCtrl-C stops")
