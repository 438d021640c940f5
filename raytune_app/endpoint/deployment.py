"""Starts, updates and stops the endpoint: Ray Serve's declarative configuration for `serving.app:build`.

The serving code is named by import string only; this package never imports it. Another version of a model changes
nothing but `user_config`, which Serve hands to the running replicas without a restart.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from raytune_app.cluster import Cluster
from raytune_app.endpoint.client import Endpoint
from raytune_app.endpoint.plan import APPLICATION, DEPLOYMENT, Plan, check_port, missing, traffic_of
from raytune_app.errors import BusyError, EndpointError, InputError, NotFoundError, NotReadyError
from raytune_app.registry import Registry
from raytune_app.rollout.traffic import Traffic
from raytune_app.storage import Storage

READY_DEADLINE_S = 180.0
POLL_S = 0.1
SILENT_S = 5.0
"""A process that told the others nothing for so long is taken for gone."""


class Deployment:
    """A running endpoint; as a context manager it stops at the end. Made by `deploy`."""

    def __init__(self, cluster: Cluster, plan: Plan) -> None:
        self._cluster = cluster
        self._running = False
        self.plan = plan

    @property
    def url(self) -> str:
        return self.plan.url

    def endpoint(self) -> Endpoint:
        """A client that the endpoint knows for its owner's."""
        return Endpoint(self.url, **self.plan.lock.client())

    def update(self, models: Mapping[str, Traffic | int], deadline_s: float = READY_DEADLINE_S) -> None:
        """Let these answer instead, without a restart; requests go on being answered meanwhile.

        Raises:
            NotFoundError, CorruptModelError: a version is missing or damaged; nothing has changed.
            EndpointError: the running endpoint refused a version; those before go on answering.
        """
        before, after = self.plan, replace(self.plan, models=traffic_of(models))
        _verify(after, before)
        self.plan = after
        try:
            self._apply(deadline_s)
        except BaseException:
            self.plan = before
            with suppress(EndpointError):  # the first error is the one to show
                self._put()
            raise

    def statistics(self) -> dict[str, dict[str, Any]]:
        """What each version did so far in every process, by model and version. Raises EndpointError."""
        with self.endpoint() as endpoint:
            found: dict[str, dict[str, Any]] = endpoint.overview()["statistics"]
            return found

    def ready(self) -> bool:
        """Whether every process answers as the plan says. Raises EndpointError if one never will."""
        return self._state() is None

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
        serve_host = self.plan.lock.set_front(self._cluster.front_file, self.plan.host)
        try:
            _client(self._cluster).deploy_applications(self.plan.config(serve_host))
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
        try:
            application = _client(self._cluster).get_serve_details()["applications"].get(APPLICATION)
        except (RuntimeError, OSError):  # the dashboard, busy or restarting
            return "waiting for Ray's dashboard"
        if application is None:
            return "starting Ray Serve"
        replica = application["deployments"].get(DEPLOYMENT, {}).get("message", "")
        reason = _reason(replica) or _reason(application["message"])
        if application["status"] == "DEPLOY_FAILED" or reason:
            raise EndpointError(
                f"the endpoint does not start: {reason or 'no reason given'}", "see the Ray dashboard, page Serve"
            )
        if application["status"] == "UNHEALTHY":
            return "Ray Serve is replacing a process"
        if application["status"] != "RUNNING":
            return "starting the replica" if application["deployments"] else "importing the application"
        return self._unready_model()

    def _unready_model(self) -> str | None:
        """Asks every process, not only the one that happens to answer: each tells the others what it holds."""
        with self.endpoint() as endpoint:
            try:
                replicas = endpoint.overview()["replicas"]
            except (BusyError, EndpointError, NotReadyError):
                return "waiting for the first answer"
        alive = [each for each in replicas if each["at"] > time.time() - SILENT_S]
        for model, traffic in self.plan.models.items():
            for replica in alive:
                if (lack := missing(model, traffic, replica)) is not None:
                    return lack
        if len(alive) < self.plan.replicas:
            return f"{len(alive)} of {self.plan.replicas} replicas answer"
        return None


def deploy(
    cluster: Cluster,
    models: Mapping[str, Traffic | int],
    storage_uri: str,
    *,
    deadline_s: float = READY_DEADLINE_S,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Deployment:
    """Start the endpoint for `models` (name to traffic, or to a version) and wait until every one of them answers.

    Args:
        progress: called with a few words whenever the state changes.
        options: the other attributes of a `Plan`.

    Raises:
        InputError: the lock is none, the port is taken, or this cluster's Serve runs an application already.
        ResourceError: the embedded cluster has fewer CPUs or GPUs.
        NotFoundError, CorruptModelError: a version is missing or damaged; nothing was started.
        EndpointError: it did not become ready; says why, as far as the replica told.
    """
    plan = Plan(traffic_of(models), Storage(storage_uri).uri, **options)
    plan.lock.check(plan.host)
    plan.check()
    if cluster.embedded:
        plan.check_fits(cluster.cpus, cluster.gpus)
    _check_place(cluster, plan.host, plan.port)
    if plan.grpc_port is not None:
        check_port(plan.grpc_port, plan.host, "--grpc-port")
    deployment = Deployment(cluster, plan)
    deployment.start(deadline_s, progress)
    return deployment


def _check_place(cluster: Cluster, host: str, port: int) -> None:
    """On the head, a free port, and a Serve that runs nothing: to start would replace what others use."""
    if cluster.head is not None:
        said = f"the endpoint listens on the cluster's head, {cluster.head}, and this is another machine"
        raise InputError(said, "run it there: ray exec cluster.yaml 'raytune serve ...'")
    if running := sorted(_client(cluster).get_serve_details()["applications"]):
        raise InputError(
            f"Serve on this cluster runs already: {', '.join(running)}", "stop that first, or use another cluster"
        )
    check_port(port, host)


def _verify(plan: Plan, before: Plan | None = None) -> None:
    """What is wrong on disk is said at once, before anything starts; what answers already is not looked at again."""
    if not plan.models:
        raise NotFoundError("no model to serve", "name one; `raytune models` lists them")
    registry = Registry(Storage(plan.storage_uri))
    for model, traffic in plan.models.items():
        held = before.models[model].versions if before is not None and model in before.models else ()
        for version in set(traffic.versions) - set(held):
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
