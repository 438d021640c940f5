"""Starts, updates and stops the endpoint: Ray Serve's declarative configuration for `serving.app:build`.

The serving code is named by import string only; this package never imports it. Another version of a model changes
nothing but `user_config`, which Serve hands to the running replicas without a restart.
"""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from raytune_app.cluster import Cluster
from raytune_app.endpoint import Endpoint
from raytune_app.errors import EndpointError, InputError, NotFoundError, NotReadyError, ResourceError
from raytune_app.registry import Registry
from raytune_app.storage import Storage

APPLICATION = "raytune"
DEPLOYMENT = "models"
IMPORT_PATH = "serving.app:build"
READY_DEADLINE_S = 180.0
POLL_S = 0.1
LOOPBACK = "127.0.0.1"
MAX_PORT = 65_535
EVERYWHERE = ("0.0.0.0",)  # noqa: S104  # what a user may ask for, never the default
WAITING = 1024
"""Requests inside a replica at once; each is small, and a batch takes 64 of them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a deployment is made of.

    Attributes:
        models: the version that answers, by model name.
        storage_uri: where the registry is; every replica reads from it.
        host, port: where the endpoint listens; on another host than the loopback everyone who reaches it may ask.
        replicas, cpus: how many processes answer, and how many CPUs and torch threads each has.
    """

    models: Mapping[str, int]
    storage_uri: str
    host: str = LOOPBACK
    port: int = 8000
    replicas: int = 1
    cpus: int = 1

    def config(self) -> dict[str, Any]:
        """The body of Serve's declarative interface."""
        deployment = {
            "name": DEPLOYMENT,
            "num_replicas": self.replicas,
            "max_ongoing_requests": WAITING,
            "max_queued_requests": WAITING,
            "user_config": {"models": dict(self.models)},
            "ray_actor_options": {"num_cpus": self.cpus},
            "graceful_shutdown_wait_loop_s": 0.1,
            "graceful_shutdown_timeout_s": 5,
            "logging_config": {"enable_access_log": False, "log_level": "WARNING"},
        }
        application = {
            "name": APPLICATION,
            "route_prefix": "/",
            "import_path": IMPORT_PATH,
            "args": {"storage": self.storage_uri, "threads": self.cpus},
            "deployments": [deployment],
        }
        options = {"host": self.host, "port": self.port}
        return {"proxy_location": "HeadOnly", "http_options": options, "applications": [application]}


class Deployment:
    """A running endpoint; as a context manager it stops at the end. Made by `deploy`."""

    def __init__(self, cluster: Cluster, plan: Plan) -> None:
        self._cluster = cluster
        self._running = False
        self.plan = plan

    @property
    def url(self) -> str:
        host = LOOPBACK if self.plan.host in EVERYWHERE else self.plan.host
        return f"http://{host}:{self.plan.port}"

    def update(self, models: Mapping[str, int], deadline_s: float = READY_DEADLINE_S) -> None:
        """Let these versions answer instead, without a restart; requests go on being answered meanwhile.

        Raises:
            NotFoundError, CorruptModelError: a version is missing or damaged; nothing has changed.
            EndpointError: the running endpoint refused a version; those before go on answering.
        """
        before, after = self.plan, replace(self.plan, models=models)
        _verify(after)
        self.plan = after
        try:
            self._apply(deadline_s)
        except BaseException:
            self.plan = before
            with suppress(EndpointError):  # the first error is the one to show
                self._put()
            raise

    def stop(self) -> None:
        """Take the endpoint down. Safe to call twice."""
        if self._running:
            self._stop()

    def _stop(self) -> None:
        self._running = False
        if self._cluster.embedded:
            _client(self._cluster).delete_applications()
        else:
            from ray import serve  # there may be others on this cluster's Serve

            serve.delete(APPLICATION)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, deadline_s: float, progress: Callable[[str], None] | None = None) -> None:
        """Start what the plan says and wait for it; nothing remains of it if that fails. `deploy` calls it."""
        _verify(self.plan)
        try:
            self._apply(deadline_s, progress)
        except BaseException:
            self._stop()
            raise

    def _apply(self, deadline_s: float, progress: Callable[[str], None] | None = None) -> None:
        self._put()
        self._wait(time.monotonic() + deadline_s, progress)
        self._running = True

    def _put(self) -> None:
        try:
            _client(self._cluster).deploy_applications(self.plan.config())
        except (RuntimeError, ConnectionError) as error:
            reason = _reason(str(error)) or str(error).partition("\n")[0]
            raise EndpointError(f"Serve does not take the configuration: {reason}", "see the Ray dashboard") from error

    def _wait(self, deadline: float, progress: Callable[[str], None] | None) -> None:
        """Until Serve says that it runs and each version answers over HTTP."""
        last = ""
        while (state := self._state()) is not None:
            if state != last and progress is not None:
                progress(state)
            last = state
            if time.monotonic() > deadline:
                raise EndpointError(f"the endpoint is not ready in time: {last}", "see the Ray dashboard, page Serve")
            time.sleep(POLL_S)

    def _state(self) -> str | None:
        """What is still missing, or None when all answers. Raises EndpointError if it never will."""
        application = _client(self._cluster).get_serve_details()["applications"].get(APPLICATION)
        if application is None:
            return "starting Ray Serve"
        replica = application["deployments"].get(DEPLOYMENT, {}).get("message", "")
        reason = _reason(replica) or _reason(application["message"])
        if application["status"] in ("DEPLOY_FAILED", "UNHEALTHY") or reason:
            raise EndpointError(
                f"the endpoint does not start: {reason or 'no reason given'}", "see the Ray dashboard, page Serve"
            )
        if application["status"] != "RUNNING":
            return "starting the replica" if application["deployments"] else "importing the application"
        return self._unready_model()

    def _unready_model(self) -> str | None:
        with Endpoint(self.url) as endpoint:
            for model, version in self.plan.models.items():
                try:
                    if not endpoint.ready(model, version):
                        return f"waiting for {model}@{version}"
                except NotReadyError as error:
                    raise EndpointError(f"{model}@{version} was refused: {error.message}", error.remedy) from error
        return None


def deploy(
    cluster: Cluster,
    models: Mapping[str, int],
    storage_uri: str,
    *,
    host: str = LOOPBACK,
    port: int = 8000,
    replicas: int = 1,
    cpus: int = 1,
    deadline_s: float = READY_DEADLINE_S,
    progress: Callable[[str], None] | None = None,
) -> Deployment:
    """Start the endpoint for `models` (name to version) and wait until every one of them answers.

    Args:
        progress: called with a few words whenever the state changes.

    Raises:
        InputError: the port is taken, or this cluster's Serve runs an application already.
        ResourceError: the embedded cluster has fewer CPUs.
        NotFoundError, CorruptModelError: a version is missing or damaged; nothing was started.
        EndpointError: it did not become ready; says why, as far as the replica told.
    """
    deployment = Deployment(cluster, Plan(models, Storage(storage_uri).uri, host, port, replicas, cpus))
    if cluster.embedded and replicas * cpus > cluster.cpus:
        raise ResourceError(
            f"{replicas} replicas of {cpus} CPUs do not fit into {cluster.cpus:g}", "lower --replicas or --cpus"
        )
    _check_place(cluster, host, port)
    deployment.start(deadline_s, progress)
    return deployment


def check_port(port: int, host: str = LOOPBACK) -> None:
    """Raises InputError if this is no place to listen, or something listens there: HAProxy would share it silently."""
    if not 1 <= port <= MAX_PORT:
        raise InputError(f"port {port} does not exist", f"choose one from 1 to {MAX_PORT} with --port")
    if not host or ":" in host:
        raise InputError(f"host {host!r} is not an IPv4 address or a name", "127.0.0.1 is this machine only")
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            what = "is in use" if taken else f"cannot be used: {error}"
            raise InputError(
                f"port {port} of {host} {what}", "choose another with --port, or stop what uses it"
            ) from error


def _check_place(cluster: Cluster, host: str, port: int) -> None:
    """A free port, and a Serve that runs nothing: to start would replace what others use."""
    if running := sorted(_client(cluster).get_serve_details()["applications"]):
        raise InputError(
            f"Serve on this cluster runs already: {', '.join(running)}", "stop that first, or use another cluster"
        )
    check_port(port, host)


def _verify(plan: Plan) -> None:
    """What is wrong on disk is said at once, before anything starts."""
    if not plan.models:
        raise NotFoundError("no model to serve", "name one; `raytune models` lists them")
    registry = Registry(Storage(plan.storage_uri))
    for model, version in plan.models.items():
        registry.find(f"{model}@{version}").verify()


def _client(cluster: Cluster) -> Any:
    """Ray's client of its declarative interface; it knows how to show the token."""
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    if cluster.dashboard_url is None:
        raise InputError(
            "the Ray cluster has no dashboard, which Serve is configured through", "start it with its dashboard"
        )
    return ServeSubmissionClient(cluster.dashboard_url)


def _reason(message: str) -> str:
    """The last error of a traceback as one line; empty if there is none."""
    found = re.findall(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception)\w*): (.*)$", message, re.MULTILINE)
    return f"{found[-1][0]}: {found[-1][1]}" if found else ""
