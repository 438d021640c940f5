"""What a deployment is made of, as Ray Serve's declarative configuration, and what a process of it still lacks."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raytune_app.endpoint.lock import Lock
from raytune_app.errors import InputError, RefusedError, ResourceError
from raytune_app.rollout.traffic import Traffic

APPLICATION = "raytune"
DEPLOYMENT = "models"
IMPORT_PATH = "serving.app:build"
LOOPBACK = "127.0.0.1"
MAX_PORT = 65_535
EVERYWHERE = ("0.0.0.0",)  # noqa: S104  # what a user may ask for, never the default
WAITING = 16_384
"""Requests that Serve lets a replica have at once: as many as may be connected, since the replica itself refuses those
it has no room for, in the protocol's own form."""
BUSY = 16
"""Requests inside a replica at once, on average, above which another is started."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a deployment is made of.

    Attributes:
        models: who answers, by model name.
        storage_uri: where the registry is; every replica reads from it.
        host, port: where the endpoint listens.
        grpc_port: where each process listens for gRPC too, on the same host; None: nowhere.
        replicas: how many processes answer; with `most` above it as many as the load asks for.
        cpus, gpus: what each of them has: CPUs, which are its threads too, and a GPU or a part of one.
        engine: `auto`, the fastest that reproduces the golden samples, or `torch`, to the bit as it was trained.
        lock: who may ask, and how.
        watching: the request log and traces, as `serving.watch.watching.Watching` has them; none by default.
    """

    models: Mapping[str, Traffic]
    storage_uri: str
    host: str = LOOPBACK
    port: int = 8000
    grpc_port: int | None = None
    replicas: int = 1
    most: int | None = None
    cpus: int = 1
    gpus: float = 0
    engine: str = "auto"
    watching: Mapping[str, Any] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    board: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def url(self) -> str:
        host = LOOPBACK if self.host in EVERYWHERE else self.host
        return f"{self.lock.scheme}://{host}:{self.port}"

    def config(self, serve_host: str | None = None) -> dict[str, Any]:
        """The body of Serve's declarative interface.

        Args:
            serve_host: where Serve listens, if something else stands before it on `host`.
        """
        deployment = {
            "name": DEPLOYMENT,
            **self._size(),
            "max_ongoing_requests": WAITING,
            "max_queued_requests": WAITING,
            "user_config": {"models": {name: each.model_dump(mode="json") for name, each in self.models.items()}},
            "ray_actor_options": {"num_cpus": self.cpus, "num_gpus": self.gpus},
            "graceful_shutdown_wait_loop_s": 0.1,
            "graceful_shutdown_timeout_s": 5,
            "logging_config": {"enable_access_log": False, "log_level": "WARNING"},
        }
        application = {
            "name": APPLICATION,
            "route_prefix": "/",
            "import_path": IMPORT_PATH,
            "args": {
                "storage": self.storage_uri,
                "threads": self.cpus,
                "engine": self.engine,
                "device": "cuda" if self.gpus else "cpu",
                "board": self.board,
                "grpc_host": self.host,
                "grpc_port": self.grpc_port,
                "door": dict(self.lock.arguments()),
                "watching": dict(self.watching),
            },
            "deployments": [deployment],
        }
        options = {"host": serve_host or self.host, "port": self.port}
        return {"proxy_location": "HeadOnly", "http_options": options, "applications": [application]}

    def check(self) -> None:
        """Raises InputError for what no cluster can run."""
        if self.grpc_port == self.port:
            raise InputError(f"HTTP and gRPC cannot share port {self.port}", "choose another with --grpc-port")
        if self.most is not None and self.most < self.replicas:
            raise InputError(f"{self.replicas}..{self.most} replicas are none", "give the smaller number first")
        if not 0 <= self.gpus <= 1:
            raise InputError(f"{self.gpus:g} GPUs for a replica", "give a part of one, up to 1")

    def check_fits(self, cpus: float, gpus: float) -> None:
        """Raises ResourceError if a cluster of so many CPUs and GPUs is too small: Serve would wait for ever."""
        for noun, each, there in (("CPUs", self.cpus, cpus), ("GPUs", self.gpus, gpus)):
            if self.replicas * each > there:
                wrong = f"{self.replicas} replicas of {each:g} {noun} do not fit into {there:g}"
                raise ResourceError(wrong, f"lower --replicas or --{noun.lower()}")

    def _size(self) -> dict[str, Any]:
        if self.most is None:
            return {"num_replicas": self.replicas}
        limits = {"min_replicas": self.replicas, "max_replicas": self.most}
        return {"autoscaling_config": {**limits, "target_ongoing_requests": BUSY, "upscale_delay_s": 3.0}}


def traffic_of(models: Mapping[str, Traffic | int]) -> dict[str, Traffic]:
    """A bare number is a version that answers alone."""
    return {name: Traffic.model_validate(each) for name, each in models.items()}


def missing(model: str, traffic: Traffic, replica: Mapping[str, Any]) -> str | None:
    """What one process, by its own report, still lacks. Raises RefusedError if it refused a version."""
    for version in traffic.versions:
        if (reason := replica["refused"].get(model, {}).get(str(version))) is not None:
            raise RefusedError(f"{model}@{version} was refused: {reason}", "promote or serve another version")
    held = replica["traffic"].get(model)  # clients may have loaded more
    if held is not None and Traffic.model_validate({**held, "also": traffic.also}) == traffic:
        return None
    return f"waiting for {model}@{traffic.champion}"


def check_port(port: int, host: str = LOOPBACK, option: str = "--port") -> None:
    """Raises InputError if this is no place to listen, or something listens there: it would be shared silently."""
    if not 1 <= port <= MAX_PORT:
        raise InputError(f"port {port} does not exist", f"choose one from 1 to {MAX_PORT} with {option}")
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
                f"port {port} of {host} {what}", f"choose another with {option}, or stop what uses it"
            ) from error
