"""What the endpoint does, without HTTP: which models are live and ready, what they are, and what they answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from raytune_app import __version__
from raytune_app.errors import NotFoundError, NotReadyError
from raytune_app.picture import is_light
from raytune_app.registry import MAX_DIGITS
from raytune_app.rollout.traffic import Mode, Traffic
from serving.versions.feedback import read_feedback
from serving.versions.ledger import Ledger, Report
from serving.versions.resident import Answered, Model, Resident, Shadows, facts_of, first_of
from serving.watch.statistics import Snapshot
from serving.watch.watching import NOTE, Note
from serving.wire.descriptions import model_config, model_statistics
from serving.wire.inputs import Inputs
from serving.wire.protocol import (
    Answer,
    classify_answer,
    classify_answers,
    infer_answer,
    model_metadata,
    read_infer,
    server_metadata,
)

INLINE_BYTES = 4096
"""A body up to this size is read in the event loop: a thread would cost more than it frees."""

_OF_A_REPLICA = ("replica", "at", "traffic", "refused")

T = TypeVar("T")
Read = Callable[[Inputs[Any, Any]], tuple[Any, T]]
"""From what a model takes to a checked batch, and what the caller wants back with the answer."""


class DataPlane:
    """The models in memory, who of them answers, and why a wanted version does not."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._residents: dict[str, dict[int, Resident]] = {}
        self._traffic: dict[str, Traffic] = {}
        self._refused: dict[tuple[str, int], str] = {}
        self._shadows = Shadows()

    def add(self, model: Model) -> None:
        """Hold `model` in memory; it answers requests that name its version, and others once `route` says so."""
        self._residents.setdefault(model.name, {})[model.version] = Resident.of(
            model, self.ledger.of(model.name, model.version, len(model.labels))
        )
        self._refused.pop((model.name, model.version), None)

    def route(self, name: str, traffic: Traffic) -> None:
        """Let these versions, which are in memory, answer from now on, and forget the others of this model.

        Requests already inside finish with the version they met.
        """
        residents = self._residents[name]
        self._residents[name] = {version: residents[version] for version in traffic.versions}
        self._traffic[name] = traffic

    def serve(self, model: Model) -> None:
        """Let `model` and no other version answer from now on under its name."""
        self.add(model)
        self.route(model.name, Traffic(champion=model.version))

    def retire(self, name: str) -> None:
        self._residents.pop(name, None)
        self._traffic.pop(name, None)

    def refuse(self, name: str, version: int, reason: str) -> None:
        """Remember why this version does not answer; `reason` is shown to clients."""
        self._refused[(name, version)] = reason

    def forget_refusals(self) -> None:
        """Another configuration has come; what was wrong with the last one no longer matters."""
        self._refused.clear()

    def held(self, name: str) -> Mapping[int, Model]:
        """The versions of a model in memory."""
        return {version: resident.model for version, resident in self._residents.get(name, {}).items()}

    def traffic(self) -> Mapping[str, Traffic]:
        """Who answers, by model."""
        return self._traffic

    def versions(self) -> dict[str, int]:
        """The champion, by model."""
        return {name: traffic.champion for name, traffic in self._traffic.items()}

    def statistics(self) -> dict[str, dict[str, Snapshot]]:
        """What each version did in all processes that serve it, by model and version."""
        return self.ledger.totals()

    def report(self, replica: str, now: float) -> Report:
        """What the other processes are told of this one."""
        refused: dict[str, dict[str, str]] = {}
        for (name, version), reason in self._refused.items():
            refused.setdefault(name, {})[str(version)] = reason
        traffic = {name: each.model_dump(mode="json") for name, each in self._traffic.items()}
        return {"replica": replica, "at": now, "traffic": traffic, "refused": refused, "statistics": self.ledger.own()}

    def overview(self) -> dict[str, Any]:
        """Who answers, what is held and what all processes did; of each process what it serves and since when."""
        own = self.report("", time.time())
        replicas = [{key: each[key] for key in _OF_A_REPLICA} for each in (own, *self.ledger.others)]
        held = {
            name: {str(version): facts_of(model) for version, model in self.held(name).items()}
            for name in self._traffic
        }
        return {"traffic": own["traffic"], "held": held, "statistics": self.statistics(), "replicas": replicas}

    def feedback(self, name: str, body: bytes) -> dict[str, Any]:
        """Count true labels that came back. Raises InputError, NotFoundError, TooLargeError."""
        champion = self._find(name, None).model
        items = read_feedback(body, champion.labels)
        residents = self._residents[name]
        for item in items:
            if item.version not in residents:
                raise NotFoundError(f"version {item.version} of {name!r} does not answer here", "drop this feedback")
        for item in items:
            residents[item.version].statistics.told(right=item.right)
        return {"model": name, "counted": len(items)}

    def index(self) -> list[dict[str, str]]:
        """The versions that answer, as the protocol's model repository extension lists them."""
        return [
            {"name": name, "version": str(version), "state": "READY", "reason": ""}
            for name, traffic in self._traffic.items()
            for version in traffic.versions
        ]

    def live(self) -> dict[str, Any]:
        return {"live": True}

    def ready(self) -> dict[str, Any]:
        """Raises NotReadyError while no model is loaded."""
        if not self._traffic:
            raise NotReadyError("no model is loaded yet", "try again in a few seconds")
        return {"ready": True}

    def metadata(self) -> dict[str, Any]:
        return server_metadata(__version__)

    def model_metadata(self, name: str, version: str | None) -> dict[str, Any]:
        model = self._find(name, version).model
        versions = [model.version] if version else self._traffic[name].versions
        return model_metadata(model.name, versions, model.inputs, model.labels)

    def model_config(self, name: str, version: str | None) -> dict[str, Any]:
        model = self._find(name, version).model
        versions = [model.version] if version else self._traffic[name].versions
        return model_config(model.name, versions, model.inputs, model.labels)

    def model_statistics(self, name: str = "", version: str | None = None) -> dict[str, Any]:
        """Of one version, of all that answer under a name, or of all models for no name. Raises NotFoundError."""
        asked = self._find(name, version).model.version if name else None
        only = None if version is None else str(asked)
        return model_statistics(
            (each, number, counts)
            for each, versions in self.statistics().items()
            for number, counts in versions.items()
            if name in ("", each) and only in (None, number)
        )

    def model_ready(self, name: str, version: str | None) -> dict[str, Any]:
        """Raises NotReadyError with the reason if this version was refused, NotFoundError if nobody knows it."""
        self._find(name, version)
        return {"name": name, "ready": True}

    async def infer(
        self, name: str, version: str | None, body: bytes, json_bytes: int | None = None, key: bytes | None = None
    ) -> Answer:
        """The protocol's answer to its request, of whose body `json_bytes` are JSON; None: all of it is.

        Raises:
            InputError, TooLargeError, NotFoundError, NotReadyError.
        """

        def read(inputs: Inputs[Any, Any]) -> tuple[Any, Any]:
            request = read_infer(body, json_bytes, inputs)
            return request.batch, request

        (model, probabilities), request = await self.answer(name, version, read, len(body), key)
        return infer_answer(request, model.name, model.version, model.labels, probabilities)

    async def classify(
        self, name: str, version: str | None, content_type: str, body: bytes, key: bytes | None = None
    ) -> bytes:
        """Label and probabilities of what is in the body: one picture, one text, or several texts.

        Raises:
            InputError, MediaError, TooLargeError, NotFoundError, NotReadyError.
        """

        def read(inputs: Inputs[Any, Any]) -> tuple[Any, bool]:
            return inputs.read_body(content_type, body)

        work = len(body) if is_light(body) else INLINE_BYTES + 1
        (model, probabilities), several = await self.answer(name, version, read, work, key)
        if several:
            return classify_answers(model.name, model.version, model.labels, probabilities)
        return classify_answer(model.name, model.version, model.labels, probabilities[0])

    async def answer(
        self, name: str, version: str | None, read: Read[T], body_bytes: int, key: bytes | None = None
    ) -> tuple[Answered, T]:
        """Read a request and compute its answer; the way in for every protocol.

        Args:
            version: None lets the model's traffic choose.
            read: checks and decodes; a small body is read in the event loop, a large one in a thread.
            key: requests with the same key meet the same version while a rollout lasts; None: by chance.

        Raises:
            NotFoundError, NotReadyError, and what `read` and the model raise.
        """
        start, note = time.perf_counter(), NOTE.get()
        resident = self._find(name, version)
        challenger = None if version else self._challenger(name, key)
        is_shadow = self._is_shadow(name)  # before anything is awaited: meanwhile the traffic may turn
        if body_bytes <= INLINE_BYTES:
            batch, extra = read(resident.model.inputs)
        else:
            batch, extra = await asyncio.to_thread(read, resident.model.inputs)
        read_at = time.perf_counter()
        if challenger is None:
            answered = await resident.answer(batch, start)
        elif is_shadow:
            answered = await resident.answer(batch, start)
            self._shadows.compare(challenger, batch, answered.probabilities, read_at - start)
        else:
            answered = await first_of(challenger, resident, batch, start)
        if note is not None:
            self._fill(note, batch, body_bytes, answered, read_at)
        return answered, extra

    def _fill(self, note: Note, batch: Any, body_bytes: int, answered: Answered, read_at: float) -> None:
        """Tell who watches; called as soon as the answer is there, so the batcher's last batch is this request's."""
        model, note.probabilities = answered
        note.model, note.version, note.labels = model.name, str(model.version), model.labels
        note.batch, note.body_bytes, note.read, note.computed = batch, body_bytes, read_at, time.perf_counter()
        resident = self._residents.get(model.name, {}).get(model.version)
        note.compute_s = 0.0 if resident is None else resident.batcher.last_s

    def _challenger(self, name: str, key: bytes | None) -> Resident | None:
        """The version being tried, if this request is one of its share."""
        version = self._traffic[name].chosen(name, key)
        return None if version is None else self._residents[name][version]

    def _is_shadow(self, name: str) -> bool:
        rollout = self._traffic[name].rollout
        return rollout is not None and rollout.mode is Mode.SHADOW

    def _find(self, name: str, version: str | None) -> Resident:
        """The version asked for, or the champion."""
        residents = self._residents.get(name)
        wanted = int(version) if version and version.isdecimal() and len(version) < MAX_DIGITS else None
        if residents:
            resident = residents.get(self._traffic[name].champion if version is None else wanted or 0)
            if resident is not None:
                return resident
        reasons = [why for (each, number), why in self._refused.items() if each == name and wanted in (None, number)]
        if reasons and (wanted is not None or not residents):
            raise NotReadyError(f"model {name!r} is not ready: {reasons[-1]}", "promote or deploy another version")
        if not residents:
            known = ", ".join(self._residents) or "none"
            raise NotFoundError(f"no model {name[:64]!r} here", f"models here are: {known}")
        raise NotFoundError(
            f"model {name!r} does not serve that version", f"it serves {', '.join(map(str, residents))}"
        )
