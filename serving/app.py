"""The Ray Serve application: one deployment that is ingress and model at once, so a request makes no second hop.

Started by import string, `serving.app:build`; `raytune_app.deployment` writes the configuration. Which versions answer
comes as `user_config`, so another version needs no restart: it is loaded beside the one that answers, then swapped.
"""

# no `from __future__ import annotations`: Serve reads the annotation of `build` and must find the class itself
import asyncio
import logging
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application

from raytune_app.errors import RaytuneError
from serving.dataplane import DataPlane
from serving.rest import Rest

if TYPE_CHECKING:
    from serving.predictor import Predictor

_log = logging.getLogger("ray.serve")


class Arguments(BaseModel):
    """What the application needs before it knows its models; a change of these restarts it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    storage: str = Field(description="folder or URI of the registry")
    threads: int = Field(default=1, ge=1, description="torch threads of a replica; equal to its CPUs")


class UserConfig(BaseModel):
    """What may change while it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, int] = Field(description="the version that answers, by model")


@serve.deployment(name="models", max_ongoing_requests=1024, max_queued_requests=1024)
@serve.ingress()
class Models:
    """Models in memory and the HTTP application over them."""

    def __init__(self, arguments: Arguments) -> None:
        import torch

        torch.set_num_threads(arguments.threads)
        self._storage = arguments.storage
        self._plane = DataPlane()

    def __serve_build_asgi_app__(self) -> Rest:
        return Rest(self._plane)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Let the wanted versions answer.

        A version that cannot be loaded is refused and the one before it keeps answering: raising here would make
        Serve replace a healthy replica. With nothing before it there is nothing to keep, so then it raises.
        """
        wanted = UserConfig.model_validate(user_config).models
        self._plane.forget_refusals()
        for name, version in wanted.items():
            if self._plane.versions().get(name) != version:
                await self._load(name, version)
        for name in self._plane.versions().keys() - wanted.keys():
            self._plane.retire(name)

    async def _load(self, name: str, version: int) -> None:
        try:
            predictor = await asyncio.to_thread(_predictor, self._storage, name, version)
        except Exception as error:
            _log.exception("%s@%d refused", name, version)
            if name not in self._plane.versions():
                raise
            self._plane.refuse(name, version, _reason(error, self._storage))
            return
        self._plane.serve(predictor)

    def check_health(self) -> None:
        """Raises NotReadyError if no model answers."""
        self._plane.ready()


def _predictor(storage: str, name: str, version: int) -> "Predictor":
    from serving.predictor import Predictor

    return Predictor.load(storage, name, version)


def _reason(error: Exception, storage: str) -> str:
    """For clients: what is wrong with the version, but not where models are stored."""
    if not isinstance(error, RaytuneError):
        return "it could not be loaded; the server's log says why"
    return error.message.replace(storage, "").lstrip("/")


def build(arguments: Arguments) -> Application:
    """The application for `serving.app:build`."""
    application: Application = Models.bind(arguments)  # type: ignore[attr-defined]  # the decorator hides it from mypy
    return application
