"""One serving process's models and how they change, without Ray: the adapter around it is `serving.app`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from raytune_app.errors import RaytuneError
from serving.dataplane import DataPlane

if TYPE_CHECKING:
    from serving.predictor import Predictor

_log = logging.getLogger("ray.serve")  # so that it lands in Serve's log of this replica


class Arguments(BaseModel):
    """What the application needs before it knows its models; a change of these restarts it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    storage: str = Field(description="folder or URI of the registry")
    threads: int = Field(default=1, ge=1, description="torch threads of a replica; equal to its CPUs")


class UserConfig(BaseModel):
    """What may change while it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, int] = Field(description="the version that answers, by model")


class Replica:
    """Models in memory. `plane` answers for them."""

    def __init__(self, arguments: Arguments) -> None:
        import torch

        torch.set_num_threads(arguments.threads)
        self._storage = arguments.storage
        self.plane = DataPlane()

    async def change(self, config: UserConfig) -> None:
        """Let the wanted versions answer; each is loaded beside the one that answers, then takes its place.

        A version that cannot be loaded is refused and the one before it keeps answering: raising here would make
        Serve replace a healthy replica. With nothing before it there is nothing to keep, so then it raises.
        """
        self.plane.forget_refusals()
        for name, version in config.models.items():
            if self.plane.versions().get(name) != version:
                await self._load(name, version)
        for name in self.plane.versions().keys() - config.models.keys():
            self.plane.retire(name)

    async def _load(self, name: str, version: int) -> None:
        try:
            predictor = await asyncio.to_thread(_predictor, self._storage, name, version)
        except Exception as error:
            _log.exception("%s@%d refused", name, version)
            if name not in self.plane.versions():
                raise
            self.plane.refuse(name, version, _reason(error, self._storage))
            return
        self.plane.serve(predictor)


def _predictor(storage: str, name: str, version: int) -> Predictor:
    from serving.predictor import Predictor

    return Predictor.load(storage, name, version)


def _reason(error: Exception, storage: str) -> str:
    """For clients: what is wrong with the version, but not where models are stored."""
    if not isinstance(error, RaytuneError):
        return "it could not be loaded; the server's log says why"
    return error.message.replace(storage, "").lstrip("/")
