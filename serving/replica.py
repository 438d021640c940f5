"""One serving process's models and how they change, without Ray: the adapter around it is `serving.app`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from raytune_app.errors import InputError, RaytuneError
from raytune_app.traffic import Traffic
from serving.dataplane import DataPlane
from serving.resident import Model

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

    models: dict[str, Traffic] = Field(description="who answers, by model; a bare number is a version that does alone")


class Replica:
    """Models in memory. `plane` answers for them."""

    def __init__(self, arguments: Arguments) -> None:
        import torch

        torch.set_num_threads(arguments.threads)
        self._storage = arguments.storage
        self.plane = DataPlane()

    async def change(self, config: UserConfig) -> None:
        """Let the wanted versions answer; each is loaded beside those that answer, then traffic is turned.

        A version that cannot be loaded, or takes or answers something else than the champion, is refused and those
        before it keep answering: raising here would make Serve replace a healthy replica. If no model at all answers
        there is nothing to keep, so then it raises.
        """
        self.plane.forget_refusals()
        faults = [fault for item in config.models.items() if (fault := await self._turn(*item)) is not None]
        for name in self.plane.versions().keys() - config.models.keys():
            self.plane.retire(name)
        if not self.plane.versions() and faults:
            raise faults[0]

    async def _turn(self, name: str, traffic: Traffic) -> Exception | None:
        """Load what is missing of one model and let it answer; without its champion nothing of it changes."""
        held = dict(self.plane.held(name))
        fault, refused = None, set[int]()
        for version in traffic.versions:
            if version not in held:
                loaded = await self._load(name, version, held.get(traffic.champion) or next(iter(held.values()), None))
                if isinstance(loaded, Exception):
                    fault = fault or loaded
                    refused.add(version)
                else:
                    held[version] = loaded
        if traffic.champion not in refused:
            for version in traffic.versions:
                if version not in refused and version not in self.plane.held(name):
                    self.plane.add(held[version])
            self.plane.route(name, traffic.without(refused))
        return fault

    async def _load(self, name: str, version: int, beside: Model | None) -> Predictor | Exception:
        try:
            predictor = await asyncio.to_thread(_predictor, self._storage, name, version)
            if beside is not None:
                _check_same(predictor, beside)
        except Exception as error:  # noqa: BLE001  # a version may be broken in any way; it is refused, and says why
            _log.exception("%s@%d refused", name, version)
            self.plane.refuse(name, version, _reason(error, self._storage))
            return error
        return predictor


def _check_same(version: Model, beside: Model) -> None:
    """Raises InputError if clients of one would not understand the other."""
    if version.inputs.metadata() != beside.inputs.metadata():
        raise InputError(
            f"version {version.version} takes {version.inputs.metadata()}, version {beside.version} "
            f"{beside.inputs.metadata()}",
            "register it under another name",
        )
    if version.labels != beside.labels:
        raise InputError(
            f"version {version.version} has other labels than version {beside.version}",
            "register it under another name",
        )


def _predictor(storage: str, name: str, version: int) -> Predictor:
    from serving.predictor import Predictor

    return Predictor.load(storage, name, version)


def _reason(error: Exception, storage: str) -> str:
    """For clients: what is wrong with the version, but not where models are stored."""
    if not isinstance(error, RaytuneError):
        return "it could not be loaded; the server's log says why"
    return error.message.replace(storage, "").lstrip("/")
