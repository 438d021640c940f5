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
        Serve replace a healthy replica. If no model at all answers there is nothing to keep, so then it raises.
        """
        self.plane.forget_refusals()
        wanted = [item for item in config.models.items() if self.plane.versions().get(item[0]) != item[1]]
        faults = [fault for name, version in wanted if (fault := await self._load(name, version)) is not None]
        for name in self.plane.versions().keys() - config.models.keys():
            self.plane.retire(name)
        if not self.plane.versions() and faults:
            raise faults[0]

    async def _load(self, name: str, version: int) -> Exception | None:
        try:
            predictor = await asyncio.to_thread(_predictor, self._storage, name, version)
        except Exception as error:  # noqa: BLE001  # a version may be broken in any way; it is refused, and says why
            _log.exception("%s@%d refused", name, version)
            self.plane.refuse(name, version, _reason(error, self._storage))
            return error
        self.plane.serve(predictor)
        return None


def _predictor(storage: str, name: str, version: int) -> Predictor:
    from serving.predictor import Predictor

    return Predictor.load(storage, name, version)


def _reason(error: Exception, storage: str) -> str:
    """For clients: what is wrong with the version, but not where models are stored."""
    if not isinstance(error, RaytuneError):
        return "it could not be loaded; the server's log says why"
    return error.message.replace(storage, "").lstrip("/")
