"""One serving process's models and how they change, without Ray: the adapter around it is `serving.app`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from raytune_app.errors import InputError, NotReadyError, RaytuneError
from raytune_app.registry import Registry
from raytune_app.rollout.traffic import Traffic
from raytune_app.storage import Storage
from serving.versions.dataplane import DataPlane
from serving.versions.ledger import Board, MemoryBoard
from serving.versions.resident import Model
from serving.watch.watching import Watching

if TYPE_CHECKING:
    from serving.versions.predictor import Predictor

Loaded = dict[str, list[int]]
"""Versions that clients loaded, by model."""

_REPORT, _LOADED = "report/", "loaded"
_log = logging.getLogger("ray.serve")  # so that it lands in Serve's log of this replica


class DoorArguments(BaseModel):
    """Who may ask, and for how long; no secret, since Ray's dashboard shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys_file: str = Field(default="", description="hashes of the API keys; none: everyone may ask")
    own_key_sha256: str = Field(default="", description="hash of the key of whoever started this")
    timeout_s: float = Field(default=60.0, gt=0, description="from a request's headers to its answer")
    tls_cert: str = Field(default="", description="certificate in PEM, for what speaks TLS itself")
    tls_key: str = Field(default="", description="its private key")


class Choice(StrEnum):
    """How a network is run: by the fastest engine that reproduces the golden samples, or as it was trained."""

    AUTO = "auto"
    TORCH = "torch"


class Arguments(BaseModel):
    """What the application needs before it knows its models; a change of these restarts it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    storage: str = Field(description="folder or URI of the registry")
    board: str = Field(default="", description="what the processes of one deployment know each other by")
    grpc_host: str = Field(default="127.0.0.1", description="where this process listens for gRPC")
    grpc_port: int | None = Field(default=None, description="on which port; none: it does not")
    engine: Choice = Choice.AUTO
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(default=1, ge=1, description="torch threads of a replica; equal to its CPUs")
    door: DoorArguments = Field(default=DoorArguments(), description="who may ask, and for how long")
    watching: Watching = Field(default=Watching(), description="who is told of requests; nobody by default")


class UserConfig(BaseModel):
    """What may change while it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, Traffic] = Field(description="who answers, by model; a bare number is a version that does alone")


class Replica:
    """Models in memory and how they change. `plane` answers for them.

    Args:
        board: where the processes that serve the same models tell each other what they do.
        name: of this process among them.
    """

    def __init__(self, arguments: Arguments, board: Board | None = None, name: str = "only") -> None:
        import torch

        torch.set_num_threads(arguments.threads)
        self._storage = arguments.storage
        self._how: dict[str, Any] = {"fastest": arguments.engine is Choice.AUTO, "device": arguments.device}
        torch.backends.cudnn.allow_tf32 = False  # it would not reproduce the golden samples
        self._board = board or MemoryBoard()
        self._name = name
        self._config = UserConfig(models={})
        self._loaded: Loaded = {}
        self._changing = asyncio.Lock()
        self.plane = DataPlane()

    async def change(self, config: UserConfig) -> None:
        """Let the wanted versions answer; each is loaded beside those that answer, then traffic is turned.

        A version that cannot be loaded, or takes or answers something else than the champion, is refused and those
        before it keep answering: raising here would make Serve replace a healthy replica. If no model at all answers
        there is nothing to keep, so then it raises.
        """
        await self._change(config=config)
        await self.exchange()

    async def exchange(self) -> None:
        """Tell the others what this process did, hear what they did, and load what clients asked one of them for."""
        report = self.plane.report(self._name, time.time())
        notes = await asyncio.to_thread(self._exchanged, to_json(report))
        mine = _REPORT + self._name
        reports = [from_json(note) for key, note in notes.items() if key.startswith(_REPORT) and key != mine]
        self.plane.ledger.others = reports
        loaded: Loaded = from_json(notes[_LOADED]) if _LOADED in notes else {}
        if loaded != self._loaded:
            await self._change(loaded=loaded)

    async def load(self, name: str, version: int | None) -> None:
        """Hold one more version of a model; without a number its champion, or the newest if it has none.

        Raises:
            NotFoundError: no such model or version.
            NotReadyError: it was refused; says why.
        """
        if version is None:
            version = (await asyncio.to_thread(Registry(Storage(self._storage)).find, name)).version
        before, versions = self._loaded, [*self._loaded.get(name, []), version]
        await self._keep({**before, name: sorted(set(versions))})
        try:
            self.plane.model_ready(name, str(version))
        except NotReadyError:
            await self._keep(before)
            raise

    async def unload(self, name: str, version: int | None) -> None:
        """Let go what `load` took in.

        Raises:
            InputError: it was not loaded that way: whoever serves it decides.
        """
        versions = self._loaded.get(name, [])
        gone = set(versions) if version is None else {version} & set(versions)
        if not gone:
            raise InputError(f"{name[:64]!r} was not loaded by a client", "what `raytune serve` names stays")
        kept = [each for each in versions if each not in gone]
        rest = {other: each for other, each in self._loaded.items() if other != name}
        await self._keep({**rest, name: kept} if kept else rest)

    async def _keep(self, loaded: Loaded) -> None:
        await asyncio.to_thread(self._board.put, _LOADED, to_json(loaded))
        await asyncio.shield(self._change(loaded=loaded))  # a client that leaves must not leave half of it

    async def _change(self, *, config: UserConfig | None = None, loaded: Loaded | None = None) -> None:
        """Turn to another configuration, or to other versions that clients loaded."""
        async with self._changing:
            self._config = self._config if config is None else config
            self._loaded = self._loaded if loaded is None else loaded
            self.plane.forget_refusals()
            wanted = _wanted(self._config.models, self._loaded)
            faults = [fault for item in wanted.items() if (fault := await self._turn(*item)) is not None]
            for name in self.plane.versions().keys() - wanted.keys():
                self.plane.retire(name)
            if not self.plane.versions() and faults:
                raise faults[0]

    def _exchanged(self, report: bytes) -> dict[str, bytes]:
        self._board.put(_REPORT + self._name, report)
        return self._board.notes()

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
            predictor = await asyncio.to_thread(_predictor, self._storage, name, version, **self._how)
            if beside is not None:
                _check_same(predictor, beside)
        except Exception as error:  # noqa: BLE001  # a version may be broken in any way; it is refused, and says why
            _log.exception("%s@%d refused", name, version)
            self.plane.refuse(name, version, _reason(error, self._storage))
            return error
        return predictor


def _wanted(models: Mapping[str, Traffic], loaded: Loaded) -> dict[str, Traffic]:
    """What is served, and beside it what clients loaded."""
    more = {name: Traffic(champion=max(versions)) for name, versions in loaded.items() if name not in models}
    return {name: each.holding(loaded.get(name, [])) for name, each in {**more, **models}.items()}


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


def _predictor(storage: str, name: str, version: int, *, fastest: bool, device: str) -> Predictor:
    from serving.versions.predictor import Predictor

    return Predictor.load(storage, name, version, fastest=fastest, device=device)


def _reason(error: Exception, storage: str) -> str:
    """For clients: what is wrong with the version, but not where models are stored."""
    if not isinstance(error, RaytuneError):
        return "it could not be loaded; the server's log says why"
    return error.message.replace(storage, "").lstrip("/")
