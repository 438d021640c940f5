"""The Open Inference Protocol over gRPC: its methods and status codes over the one data plane, and nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from pydantic_core import to_json

from raytune_app.errors import DeadlineError, InputError, RaytuneError, SlowError
from serving.door.door import Door, Need, Visitor, is_loopback, secret_of
from serving.door.places import Place, Places
from serving.rpc import messages_pb2 as messages
from serving.rpc.tensors import Request, infer_answer, read_infer
from serving.versions.dataplane import INLINE_BYTES, DataPlane
from serving.versions.feedback import read_version
from serving.web.asgi import ID_HEADER, KEY_HEADER, TIMEOUT_S, request_id
from serving.wire.inputs import Inputs

if TYPE_CHECKING:
    from serving.web.rest import Repository

SERVICE = "inference.GRPCInferenceService"
KEY, ID = KEY_HEADER.decode(), ID_HEADER.decode()
"""Metadata that equal the headers of REST."""

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,  # as gRPC itself says of a message over its limit
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""By the HTTP status of an error; what is not here is INTERNAL."""

READ_S = 10.0
"""In which a message must come; it is read whole before anything can be said of it."""
READS, OPEN_READS = 32, 8
"""Messages being read at once: of those who may ask a model, and of everyone else."""

DEPENDENTS = "unload_dependents"
"""A parameter that Triton's client always sends; here no model depends on another."""

Answer = Callable[[bytes, bytes | None], Awaitable[bytes]]
"""From a serialised message, and what its client is known by, to a serialised answer."""

Method = Callable[[Any, Any], Awaitable[bytes]]
"""As gRPC calls it: with a stream, of one message, and the context that it is read from."""

_log = logging.getLogger("ray.serve")  # so that it lands in Serve's log of this replica


class Service:
    """The methods, by name.

    Args:
        door: who may ask.
        repository: loads and unloads versions; None: there is nothing to load from.
        places: how many requests, and how many bytes of them, may be inside at once.
        timeout_s: for a message to come and to be answered, unless its client wants less.
    """

    def __init__(
        self,
        plane: DataPlane,
        door: Door,
        repository: Repository | None = None,
        places: Places | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._plane = plane
        self._door = door
        self._places = places or Places()
        self._timeout_s = timeout_s
        self._reading = {True: asyncio.Semaphore(OPEN_READS), False: asyncio.Semaphore(READS)}
        of, told = messages, self._told
        self.methods: dict[str, Method] = {
            "ServerLive": _health(lambda: of.Live(**plane.live())),
            "ServerReady": _health(lambda: of.Ready(ready=_is_ready(plane.ready))),
            "ModelReady": told(of.Named, of.Ready, self._model_ready, Need.OPEN),
            "ServerMetadata": told(of.Nothing, of.ServerMetadata, lambda _: plane.metadata()),
            "ModelMetadata": told(of.Named, of.ModelMetadata, _of_model(plane.model_metadata)),
            "ModelConfig": told(of.Named, of.ModelConfigResponse, self._model_config),
            "ModelStatistics": told(of.Named, of.ModelStatisticsResponse, _of_model(plane.model_statistics)),
            "RepositoryIndex": told(of.IndexRequest, of.Index, lambda _: {"models": plane.index()}),
            "ModelInfer": self._guarded(Need.INFER, self._infer),
        }
        if repository is not None:
            self.methods["RepositoryModelLoad"] = self._guarded(Need.ADMIN, _changes(repository.load))
            self.methods["RepositoryModelUnload"] = self._guarded(Need.ADMIN, _changes(repository.unload))

    def handlers(self) -> Any:
        """What a server of gRPC is given: streams of one message, so that nothing is read before its sender may ask."""
        streams = {name: grpc.stream_unary_rpc_method_handler(method) for name, method in self.methods.items()}
        return grpc.method_handlers_generic_handler(SERVICE, streams)

    def _model_ready(self, asked: Any) -> dict[str, Any]:
        return {"ready": _is_ready(lambda: self._plane.model_ready(asked.name, asked.version or None))}

    def _model_config(self, asked: Any) -> dict[str, Any]:
        return {"config": self._plane.model_config(asked.name, asked.version or None)}

    async def _infer(self, body: bytes, key: bytes | None) -> bytes:
        if len(body) <= INLINE_BYTES:
            message = _parsed(messages.InferRequest, body)
        else:
            message = await asyncio.to_thread(_parsed, messages.InferRequest, body)

        def read(inputs: Inputs[Any, Any]) -> tuple[Any, Request]:
            request = read_infer(message, inputs)
            return request.checked.batch, request

        name, version = message.model_name, message.model_version or None
        (model, probabilities), request = await self._plane.answer(name, version, read, len(body), key)
        return bytes(infer_answer(request, model.name, model.version, model.labels, probabilities).SerializeToString())

    def _told(self, asked: Any, told: Any, content: Callable[[Any], dict[str, Any]], need: Need = Need.INFER) -> Method:
        """A method that needs no work: what REST says as JSON, as a message."""

        async def answer(body: bytes, key: bytes | None) -> bytes:
            found = content(_parsed(asked, body))
            return bytes(json_format.ParseDict(found, told(), ignore_unknown_fields=True).SerializeToString())

        return self._guarded(need, answer)

    def _guarded(self, need: Need, answer: Answer) -> Method:
        """Admits, limits, and turns every error into a status that shows nothing internal."""

        async def method(stream: Any, context: Any) -> bytes:
            metadata = {name: _octets(value) for name, value in context.invocation_metadata() or ()}
            try:
                self._door.admit(need, _visitor(metadata, context.peer()))
                with nullcontext() if need is Need.OPEN else self._places.take() as place:
                    return await self._timely(context, place, answer, metadata.get(KEY))
            except RaytuneError as error:
                code = CODES.get(error.http_status, grpc.StatusCode.INTERNAL)
                told = f"{error.message}; {error.remedy}" if error.remedy else error.message
            except Exception:  # noqa: BLE001  # nothing internal may reach a client
                identity = request_id([(ID_HEADER, metadata.get(ID, b""))]).decode()
                code, told = grpc.StatusCode.INTERNAL, f"internal error, request id {identity}"
                _log.exception("request %s failed", identity)
            return bytes(await context.abort(code, told))

        return method

    async def _timely(self, context: Any, place: Place | None, answer: Answer, key: bytes | None) -> bytes:
        """Raises SlowError, DeadlineError, BusyError, InputError for no message, and what `answer` raises."""
        body = None
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self._reading[place is None], asyncio.timeout(READ_S):
                    body = await context.read()
                if body is grpc.aio.EOF:
                    raise InputError("there is no message", "send one")
                if place is not None:
                    place.grow(2 * len(body))  # it, and what is made of it
                return await answer(body, key)
        except TimeoutError as error:
            if body is None:
                raise SlowError("the message did not come in time", "send faster") from error
            raise DeadlineError("the answer was not there in time", "send less at once") from error


def _health(content: Callable[[], Any]) -> Method:
    """Answered whoever asks and however much is inside, so the message, which says nothing, is not even read."""

    async def method(stream: Any, context: Any) -> bytes:
        return bytes(content().SerializeToString())

    return method


def _changes(change: Callable[[str, int | None], Awaitable[None]]) -> Answer:
    async def answer(body: bytes, key: bytes | None) -> bytes:
        asked = _parsed(messages.ChangeRequest, body)
        parameters = {name: each.string_param for name, each in asked.parameters.items() if name != DEPENDENTS}
        if parameters.keys() - {"version"}:
            raise InputError("a model is loaded as it was registered", "send no parameter but 'version'")
        await change(asked.model_name, read_version(to_json({"parameters": parameters})))
        return b""

    return answer


def _is_ready(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except RaytuneError:
        return False
    return True


def _of_model(content: Callable[[str, str | None], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    return lambda asked: content(asked.name, asked.version or None)


def _parsed(kind: Any, body: bytes) -> Any:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise InputError("the message is not one of this method", "see the Open Inference Protocol v2") from error


def _visitor(metadata: Mapping[str, bytes], peer: str) -> Visitor:
    """Nothing stands before this server, so its peer is who asks; `peer` is such as `ipv6:%5B::1%5D:50051`."""
    secret = secret_of(metadata.get("authorization", b""), metadata.get("x-api-key", b""))
    kind, _, address = unquote(peer).partition(":")
    host = address.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
    return Visitor(secret, is_loopback(host))


def _octets(value: str | bytes) -> bytes:
    return value.encode("latin-1", "replace") if isinstance(value, str) else value
