"""What the endpoint does, without HTTP: which models are live and ready, what they are, and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np

from raytune_app import __version__
from raytune_app.errors import NotFoundError, NotReadyError
from serving.batching import Batcher
from serving.inputs import Inputs
from serving.protocol import (
    Answer,
    Probabilities,
    classify_answer,
    classify_answers,
    infer_answer,
    model_metadata,
    read_infer,
    server_metadata,
)

INLINE_BYTES = 4096
"""A body up to this size is read in the event loop: a thread would cost more than it frees."""

P = ParamSpec("P")
T = TypeVar("T")


class Model(Protocol):
    """A version that can answer; `serving.predictor.Predictor` is one."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def inputs(self) -> Inputs[Any, Any]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def example_s(self) -> float: ...
    def predict(self, batch: Any) -> Probabilities: ...


@dataclass(frozen=True, slots=True)
class Resident:
    """A model in memory with the queue of its own, so that no batch ever mixes versions."""

    model: Model
    batcher: Batcher[Any, Any]


class DataPlane:
    """The models that answer now, one version of each, and why a wanted version does not."""

    def __init__(self) -> None:
        self._residents: dict[str, Resident] = {}
        self._refused: dict[tuple[str, int], str] = {}

    def serve(self, model: Model) -> None:
        """Let `model` answer from now on under its name; requests already inside finish with the version they met."""
        self._residents[model.name] = Resident(model, Batcher(model.predict, model.inputs, model.example_s))
        self._refused.pop((model.name, model.version), None)

    def retire(self, name: str) -> None:
        self._residents.pop(name, None)

    def refuse(self, name: str, version: int, reason: str) -> None:
        """Remember why this version does not answer; `reason` is shown to clients."""
        self._refused[(name, version)] = reason

    def forget_refusals(self) -> None:
        """Another configuration has come; what was wrong with the last one no longer matters."""
        self._refused.clear()

    def versions(self) -> dict[str, int]:
        """The version that answers, by model."""
        return {name: resident.model.version for name, resident in self._residents.items()}

    def index(self) -> list[dict[str, str]]:
        """The models that answer, as the protocol's model repository extension lists them."""
        return [{"name": name, "version": str(version), "state": "READY"} for name, version in self.versions().items()]

    def live(self) -> dict[str, Any]:
        return {"live": True}

    def ready(self) -> dict[str, Any]:
        """Raises NotReadyError while no model is loaded."""
        if not self._residents:
            raise NotReadyError("no model is loaded yet", "try again in a few seconds")
        return {"ready": True}

    def metadata(self) -> dict[str, Any]:
        return server_metadata(__version__)

    def model_metadata(self, name: str, version: str | None) -> dict[str, Any]:
        model = self._find(name, version).model
        return model_metadata(model.name, model.version, model.inputs, model.labels)

    def model_ready(self, name: str, version: str | None) -> dict[str, Any]:
        """Raises NotReadyError with the reason if this version was refused, NotFoundError if nobody knows it."""
        self._find(name, version)
        return {"name": name, "ready": True}

    async def infer(self, name: str, version: str | None, body: bytes, json_bytes: int | None = None) -> Answer:
        """The protocol's answer to its request, of whose body `json_bytes` are JSON; None: all of it is.

        Raises:
            InputError, TooLargeError, NotFoundError, NotReadyError.
        """
        resident = self._find(name, version)
        model = resident.model
        request = await _aside(len(body), read_infer, body, json_bytes, model.inputs)
        probabilities = await _probabilities(resident, request.batch)
        return infer_answer(request, model.name, model.version, model.labels, probabilities)

    async def classify(self, name: str, version: str | None, content_type: str, body: bytes) -> bytes:
        """Label and probabilities of what is in the body: one picture, one text, or several texts.

        Raises:
            InputError, MediaError, TooLargeError, NotFoundError, NotReadyError.
        """
        resident = self._find(name, version)
        model = resident.model
        batch, several = await _aside(len(body), model.inputs.read_body, content_type, body)
        probabilities = await _probabilities(resident, batch)
        if several:
            return classify_answers(model.name, model.version, model.labels, probabilities)
        return classify_answer(model.name, model.version, model.labels, probabilities[0])

    def _find(self, name: str, version: str | None) -> Resident:
        resident = self._residents.get(name)
        if resident is not None and version in (None, str(resident.model.version)):
            return resident
        wanted = int(version) if version and version.isdecimal() and len(version) < 10 else None
        reasons = [why for (each, number), why in self._refused.items() if each == name and wanted in (None, number)]
        if reasons and (wanted is not None or resident is None):
            raise NotReadyError(f"model {name!r} is not ready: {reasons[-1]}", "promote or deploy another version")
        if resident is None:
            known = ", ".join(self._residents) or "none"
            raise NotFoundError(f"no model {name[:64]!r} here", f"models here are: {known}")
        raise NotFoundError(f"model {name!r} does not serve that version", f"it serves {resident.model.version}")


async def _aside(body_bytes: int, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Read a small body here and a large one in a thread: health checks share this event loop."""
    if body_bytes <= INLINE_BYTES:
        return read(*args, **kwargs)
    return await asyncio.to_thread(read, *args, **kwargs)


async def _probabilities(resident: Resident, batch: Any) -> Probabilities:
    item = resident.model.inputs.alone(batch)
    if item is None:
        return await resident.batcher.run(batch)
    return (await resident.batcher.submit(item))[np.newaxis]
