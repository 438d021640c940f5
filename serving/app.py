"""The Ray Serve application: one deployment that is ingress and model at once, so a request makes no second hop.

Started by import string, `serving.app:build`; `raytune_app.endpoint.plan` writes the configuration. Which versions
answer comes as `user_config`, so another version needs no restart.
"""

# no `from __future__ import annotations`: Serve reads the annotation of `build` and must find the class itself
import asyncio
import logging
from typing import Any

from ray import serve
from ray.serve import Application

from serving.door.entrance import entrance, identity, keep_replica_port_local
from serving.rpc.server import Server, listen
from serving.rpc.service import Service
from serving.versions.board import ClusterBoard
from serving.versions.replica import Arguments, Replica, UserConfig
from serving.watch.watching import watched, watched_call, watchers
from serving.web.rest import Rest
from serving.web.shortcut import answer_in_one_write, straight_to

EXCHANGE_S = 1.0
_log = logging.getLogger("ray.serve")


@serve.deployment(name="models", max_ongoing_requests=1024, max_queued_requests=1024)
@serve.ingress()
class Models:
    """A replica for Serve: what Serve calls, handed on."""

    def __init__(self, arguments: Arguments) -> None:
        name = serve.get_replica_context().replica_id.unique_id
        self._replica = Replica(arguments, ClusterBoard(arguments.board), name)
        self._arguments = arguments
        self._entrance = entrance(arguments.door)
        keep_replica_port_local()
        self._grpc: Server | None = None
        self._exchanging: asyncio.Task[None] | None = None
        self._watchers = watchers(arguments.watching)

    def __serve_build_asgi_app__(self) -> Any:
        application = watched(Rest(self._replica.plane, self._replica, self._entrance), self._watchers)
        straight_to(application)
        answer_in_one_write()
        return application

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Called at the start and whenever the configuration's `user_config` changes."""
        await self._replica.change(UserConfig.model_validate(user_config))
        if self._grpc is None and self._arguments.grpc_port is not None:
            inside = (self._entrance.door, self._replica, self._entrance.places, self._arguments.door.timeout_s)
            service = Service(self._replica.plane, *inside)
            asked = service.methods["ModelInfer"]
            service.methods["ModelInfer"] = watched_call(asked, "grpc/infer", self._watchers)
            tls = await asyncio.to_thread(identity, self._arguments.door)
            self._grpc = await listen(service, self._arguments.grpc_host, self._arguments.grpc_port, tls)
        if self._exchanging is None:
            self._exchanging = asyncio.get_running_loop().create_task(self._exchange())

    async def _exchange(self) -> None:
        while True:
            await asyncio.sleep(EXCHANGE_S)
            try:
                await self._replica.exchange()
            except Exception:  # noqa: BLE001  # Ray's head may be away; what was known stays, and it is tried again
                _log.exception("the replicas could not exchange what they know")

    async def __del__(self) -> None:
        """Called by Serve, and only once, when this replica ends."""
        if self._grpc is not None:
            await self._grpc.stop()

    def check_health(self) -> None:
        """Raises NotReadyError if no model answers; Serve then replaces this replica."""
        self._replica.plane.ready()


def build(arguments: Arguments) -> Application:
    """The application for `serving.app:build`."""
    return Models.bind(arguments)  # type: ignore[attr-defined]  # the decorator made a Deployment of it
