"""The Ray Serve application: one deployment that is ingress and model at once, so a request makes no second hop.

Started by import string, `serving.app:build`; `raytune_app.deployment` writes the configuration. Which versions answer
comes as `user_config`, so another version needs no restart.
"""

# no `from __future__ import annotations`: Serve reads the annotation of `build` and must find the class itself
from typing import Any

from ray import serve
from ray.serve import Application

from serving.replica import Arguments, Replica, UserConfig
from serving.rest import Rest


@serve.deployment(name="models", max_ongoing_requests=1024, max_queued_requests=1024)
@serve.ingress()
class Models:
    """A replica for Serve: what Serve calls, handed on."""

    def __init__(self, arguments: Arguments) -> None:
        self._replica = Replica(arguments)

    def __serve_build_asgi_app__(self) -> Rest:
        return Rest(self._replica.plane)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Called at the start and whenever the configuration's `user_config` changes."""
        await self._replica.change(UserConfig.model_validate(user_config))

    def check_health(self) -> None:
        """Raises NotReadyError if no model answers; Serve then replaces this replica."""
        self._replica.plane.ready()


def build(arguments: Arguments) -> Application:
    """The application for `serving.app:build`."""
    return Models.bind(arguments)  # type: ignore[attr-defined]  # the decorator made a Deployment of it
