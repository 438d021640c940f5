"""gRPC: unmodified clients of the protocol's most used library, and statuses that show nothing internal."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2
from tritonclient.grpc import aio as triton
from tritonclient.utils import InferenceServerException

from raytune_app.endpoint.keys import Scope, new_key
from serving.door.door import Door
from serving.door.places import Places
from serving.rpc import messages_pb2 as ours
from serving.rpc.server import listen
from serving.rpc.service import SERVICE, Service
from serving.rpc.tensors import FIELDS
from serving.versions.dataplane import DataPlane
from serving.wire.pictures import Pictures
from serving.wire.protocol import MAX_BODY_BYTES
from serving.wire.texts import Texts

LABELS = ("dark", "bright")


class Brightness:
    """A model of pictures of four pixels: how bright the first is; 255 makes it raise."""

    name = "four"
    version = 3
    inputs = Pictures((1, 2, 2))
    labels = LABELS
    example_s = 0.0

    def predict(self, images: np.ndarray) -> np.ndarray:
        first = images.reshape(len(images), -1)[:, 0].astype(np.float32)
        if (first == 255).any():
            raise ValueError("secret at /srv/models")
        return np.stack([1 - first / 256, first / 256], axis=1)


class Letters:
    """A model of texts that calls a text long or short."""

    name = "letters"
    version = 1
    inputs = Texts()
    labels = ("short", "long")
    example_s = 0.0

    def predict(self, texts: list[str]) -> np.ndarray:
        long = np.array([len(text) > 3 for text in texts], np.float32)
        return np.stack([1 - long, long], axis=1)


class Loader:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int | None]] = []

    async def load(self, name: str, version: int | None) -> None:
        self.asked.append(("load", name, version))

    async def unload(self, name: str, version: int | None) -> None:
        self.asked.append(("unload", name, version))


def served(
    ask: Callable[[Any], Awaitable[Any]],
    *,
    door: Door | None = None,
    repository: Loader | None = None,
    places: Places | None = None,
    empty: bool = False,
) -> Any:
    """What `ask` returns of a Triton client of a server on a free port."""

    async def run() -> Any:
        plane = DataPlane()
        if not empty:
            plane.serve(Brightness())
            plane.serve(Letters())
        server = await listen(Service(plane, door or Door(), repository, places), "127.0.0.1", 0)
        try:
            async with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
                return await ask(client)
        finally:
            await server.stop()

    return asyncio.run(run())


def refused(ask: Callable[[Any], Awaitable[Any]], **options: Any) -> tuple[str, str]:
    """The status and the message of the refusal."""
    with pytest.raises(InferenceServerException) as caught:
        served(ask, **options)
    return str(caught.value.status()).removeprefix("StatusCode."), str(caught.value.message())


def pixels(*values: int, datatype: str = "UINT8", kind: str = "u1") -> InferInput:
    tensor = InferInput("pixels", [len(values) // 4, 1, 2, 2], datatype)
    tensor.set_data_from_numpy(np.array(values, kind).reshape(-1, 1, 2, 2))
    return tensor


def called(method: str, message: bytes, **options: Any) -> bytes:
    """The serialised answer to a serialised message, without any client library."""

    async def ask(client: Any) -> bytes:
        answer = await client._channel.unary_unary(f"/{SERVICE}/{method}")(message)
        assert isinstance(answer, bytes)
        return answer

    answer = served(ask, **options)
    assert isinstance(answer, bytes)
    return answer


# --- the messages ------------------------------------------------------------------------------------------------

PAIRS = {
    ours.Nothing: service_pb2.ServerLiveRequest,
    ours.Named: service_pb2.ModelReadyRequest,
    ours.Live: service_pb2.ServerLiveResponse,
    ours.Ready: service_pb2.ModelReadyResponse,
    ours.ServerMetadata: service_pb2.ServerMetadataResponse,
    ours.ModelMetadata: service_pb2.ModelMetadataResponse,
    ours.InferRequest: service_pb2.ModelInferRequest,
    ours.InferResponse: service_pb2.ModelInferResponse,
    ours.ModelConfigResponse: service_pb2.ModelConfigResponse,
    ours.ModelStatisticsResponse: service_pb2.ModelStatisticsResponse,
    ours.IndexRequest: service_pb2.RepositoryIndexRequest,
    ours.Index: service_pb2.RepositoryIndexResponse,
    ours.ChangeRequest: service_pb2.RepositoryModelLoadRequest,
}


def assert_equal_on_the_wire(mine: Any, theirs: Any) -> None:
    numbers = {field.name: field for field in theirs.fields}
    for field in mine.fields:
        other = numbers[field.name]
        assert (field.number, field.type, field.is_repeated) == (other.number, other.type, other.is_repeated), field
        if field.message_type:
            assert_equal_on_the_wire(field.message_type, other.message_type)
        if field.enum_type:
            assert dict(field.enum_type.values_by_name).keys() == dict(other.enum_type.values_by_name).keys()
            assert all(v.number == other.enum_type.values_by_name[v.name].number for v in field.enum_type.values)


@pytest.mark.parametrize(("mine", "theirs"), PAIRS.items(), ids=[each.DESCRIPTOR.name for each in PAIRS])
def test_every_field_of_our_messages_has_the_number_and_type_that_clients_know(mine: Any, theirs: Any) -> None:
    assert_equal_on_the_wire(mine.DESCRIPTOR, theirs.DESCRIPTOR)


def test_the_generated_messages_are_those_of_the_proto() -> None:
    text = Path(ours.__file__).with_name("messages.proto").read_text()
    for message in ours.DESCRIPTOR.message_types_by_name.values():
        block = text.split(f"\nmessage {message.name} {{\n", 1)[1] if message.fields else ""
        assert all(f" {field.name} = {field.number};" in block.split("\n}\n", 1)[0] for field in message.fields)
    assert text.count("\nmessage ") == len(ours.DESCRIPTOR.message_types_by_name)


# --- what is told ------------------------------------------------------------------------------------------------


def test_health_is_told_before_and_after_models_are_loaded() -> None:
    async def ask(client: Any) -> tuple[bool, ...]:
        return (
            await client.is_server_live(),
            await client.is_server_ready(),
            await client.is_model_ready("four"),
            await client.is_model_ready("four", "3"),
            await client.is_model_ready("four", "4"),
        )

    assert served(ask) == (True, True, True, True, False)
    assert served(ask, empty=True) == (True, False, False, False, False)


def test_metadata_configuration_and_index_say_what_rest_says() -> None:
    async def ask(client: Any) -> list[Any]:
        return [
            await client.get_server_metadata(as_json=True),
            await client.get_model_metadata("four", "3", as_json=True),
            await client.get_model_config("four", as_json=True),
            (await client.get_model_repository_index(as_json=True))["models"],
        ]

    plane = DataPlane()
    plane.serve(Brightness())
    plane.serve(Letters())
    server, model, config, index = served(ask)
    assert server == plane.metadata()
    labels = {"labels": list(LABELS)}
    rest = plane.model_metadata("four", "3")
    assert {**model, **labels} == {
        **rest,
        **{
            side: [{**each, "shape": [*map(str, each["shape"])]} for each in rest[side]]
            for side in ("inputs", "outputs")
        },
    }
    assert config["config"]["max_batch_size"] == plane.model_config("four", None)["max_batch_size"]
    assert config["config"]["input"][0] == {
        "name": "pixels",
        "data_type": "TYPE_UINT8",
        "format": "FORMAT_NCHW",
        "dims": ["1", "2", "2"],
    }
    assert [(each["name"], each["state"]) for each in index] == [("four", "READY"), ("letters", "READY")]


def test_statistics_count_what_was_asked_over_grpc() -> None:
    async def ask(client: Any) -> Any:
        await client.infer("four", [pixels(0, 0, 0, 0)])
        await client.infer("four", [pixels(*range(8))])
        with pytest.raises(InferenceServerException):
            await client.infer("four", [pixels(255, 0, 0, 0)])
        return (await client.get_inference_statistics("four")).model_stats

    (found,) = served(ask)
    assert (found.name, found.version) == ("four", "3")
    assert (found.inference_stats.success.count, found.inference_stats.fail.count) == (2, 1)
    assert found.inference_stats.success.ns > found.inference_stats.compute_infer.ns > 0
    assert found.last_inference > 0


# --- inference ---------------------------------------------------------------------------------------------------


def test_raw_in_is_raw_out_and_says_what_the_model_says() -> None:
    async def ask(client: Any) -> Any:
        return await client.infer("four", [pixels(64, 0, 0, 0, 192, 0, 0, 0)], request_id="x1")

    found = served(ask)
    assert found.as_numpy("probabilities").tolist() == [[0.75, 0.25], [0.25, 0.75]]
    assert found.as_numpy("index").tolist() == [0, 1]
    assert found.as_numpy("label").tolist() == [b"dark", b"bright"]
    response = found.get_response()
    assert (response.id, response.model_name, response.model_version) == ("x1", "four", "3")
    assert not any(each.HasField("contents") for each in response.outputs)


def test_classes_are_ranked_and_outputs_come_in_the_order_asked_for() -> None:
    async def ask(client: Any) -> Any:
        outputs = [InferRequestedOutput("label"), InferRequestedOutput("probabilities", class_count=2)]
        return await client.infer("four", [pixels(64, 0, 0, 0)], outputs=outputs)

    found = served(ask)
    assert [each.name for each in found.get_response().outputs] == ["label", "probabilities"]
    assert found.as_numpy("probabilities").tolist() == [[b"0.75:0:dark", b"0.25:1:bright"]]


def test_texts_go_in_as_bytes() -> None:
    async def ask(client: Any) -> Any:
        tensor = InferInput("text", [2, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([["łódź".encode()], [b"ab"]], np.object_))
        return (await client.infer("letters", [tensor])).as_numpy("label").tolist()

    assert served(ask) == [b"long", b"short"]


def typed(datatype: str, values: list[Any], field: str | None = None, **changes: Any) -> bytes:
    contents = ours.Contents(**{field or FIELDS[datatype]: values})
    tensor = ours.Tensor(name="pixels", datatype=datatype, shape=[1, 1, 2, 2], contents=contents)
    return bytes(ours.InferRequest(model_name="four", inputs=[tensor], **changes).SerializeToString())


@pytest.mark.parametrize("datatype", sorted(FIELDS.keys() - {"BYTES"}))
def test_typed_in_is_typed_out_in_every_datatype(datatype: str) -> None:
    answer = ours.InferResponse.FromString(called("ModelInfer", typed(datatype, [1, 0, 1, 0])))
    by_name = {each.name: each.contents for each in answer.outputs}
    assert list(by_name["probabilities"].fp32_contents) == [1 - 1 / 256, 1 / 256]
    assert list(by_name["index"].int64_contents) == [0]
    assert list(by_name["label"].bytes_contents) == [b"dark"]
    assert not answer.raw_output_contents


def test_typed_strings_are_answered_too() -> None:
    contents = ours.Contents(bytes_contents=["łódź".encode()])
    tensor = ours.Tensor(name="text", datatype="BYTES", shape=[1], contents=contents)
    message = ours.InferRequest(model_name="letters", inputs=[tensor], outputs=[{"name": "label"}])
    answer = ours.InferResponse.FromString(called("ModelInfer", message.SerializeToString()))
    assert list(answer.outputs[0].contents.bytes_contents) == [b"long"]


@pytest.mark.parametrize(("datatype", "kind"), [("FP16", "<f2"), ("FP64", "<f8"), ("INT8", "i1"), ("BOOL", "?")])
def test_raw_numbers_of_any_kind_are_pixels(datatype: str, kind: str) -> None:
    async def ask(client: Any) -> Any:
        return (await client.infer("four", [pixels(1, 0, 1, 0, datatype=datatype, kind=kind)])).as_numpy("index")

    assert served(ask).tolist() == [0]


def test_one_session_meets_one_version() -> None:
    keys = list[bytes | None]()

    class Noting(DataPlane):
        async def answer(self, name: str, version: str | None, read: Any, body_bytes: int, key: Any = None) -> Any:
            keys.append(key)
            return await super().answer(name, version, read, body_bytes, key)

    async def run() -> None:
        plane = Noting()
        plane.serve(Brightness())
        server = await listen(Service(plane, Door()), "127.0.0.1", 0)
        async with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            await client.infer("four", [pixels(0, 0, 0, 0)], headers={"x-session-id": "anna"})
            await client.infer("four", [pixels(0, 0, 0, 0)])
        await server.stop()

    asyncio.run(run())
    assert keys == [b"anna", None]


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (typed("UINT8", [0, 0, 0]), "has 3 numbers, its shape 4"),
        (typed("UINT8", [0, 0, 0, 256]), "outside 0 to 255"),
        (typed("INT8", [0, 0, 0, 255]), "outside 0 to 127"),
        (typed("FP32", [0, 0, 0, float("nan")]), "outside 0 to 255"),
        (typed("UINT8", [0.0] * 4, "fp32_contents"), "has fp32_contents"),
        (typed("FP16", [0.0] * 4, "fp32_contents"), "no typed contents"),
        (typed("UINT8", [0] * 4, raw_input_contents=[bytes(4)]), "both"),
        (typed("UINT8", [0] * 4, raw_input_contents=[bytes(4), b""]), "has 2 tensors"),
        (typed("UINT8", [0] * 4, outputs=[{"name": "nothing"}]), "does not have"),
        (typed("UINT8", [0] * 4, id="x" * 257), "'id'"),
        (ours.InferRequest(model_name="four").SerializeToString(), "one tensor"),
        (b"\xff\xff\xff", "not one of this method"),
        (typed("UINT8", [0] * 4)[:-1], "not one of this method"),
    ],
)
def test_a_wrong_request_is_an_invalid_argument_and_is_told_what_was_expected(message: bytes, told: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=told) as caught:
        called("ModelInfer", message)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda client: client.infer("nobody", [pixels(0, 0, 0, 0)]), "NOT_FOUND"),
        (lambda client: client.infer("four", [pixels(0, 0, 0, 0)], model_version="9"), "NOT_FOUND"),
        (lambda client: client.get_model_metadata("nobody"), "NOT_FOUND"),
        (lambda client: client.get_model_config("four", "9"), "NOT_FOUND"),
        (lambda client: client.get_inference_statistics("nobody"), "NOT_FOUND"),
        (lambda client: client.infer("four", [pixels(*[0] * 4 * 1025)]), "RESOURCE_EXHAUSTED"),
        (lambda client: client.infer("letters", [pixels(*[0] * 4)]), "INVALID_ARGUMENT"),
        (lambda client: client.load_model("four"), "UNIMPLEMENTED"),
        (lambda client: client.get_trace_settings(), "UNIMPLEMENTED"),
    ],
)
def test_a_refusal_has_its_status(ask: Callable[[Any], Awaitable[Any]], status: str) -> None:
    assert refused(ask)[0] == status


def test_a_fault_shows_a_request_id_and_nothing_internal(caplog: pytest.LogCaptureFixture) -> None:
    status, told = refused(lambda client: client.infer("four", [pixels(255, 0, 0, 0)]))
    assert status == "INTERNAL"
    assert "secret" not in told
    assert told.startswith("internal error, request id ")
    assert told.removeprefix("internal error, request id ") in caplog.text
    assert "secret" in caplog.text


def test_a_client_may_name_its_request(caplog: pytest.LogCaptureFixture) -> None:
    told = refused(lambda c: c.infer("four", [pixels(255, 0, 0, 0)], headers={"x-request-id": "mine-7"}))[1]
    assert told == "internal error, request id mine-7"
    assert "mine-7" in caplog.text


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    async def run() -> grpc.StatusCode:
        class Never(DataPlane):
            async def answer(self, *_: Any, **__: Any) -> Any:
                await asyncio.Event().wait()

        server = await listen(Service(Never(), Door(), timeout_s=0.05), "127.0.0.1", 0)
        async with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client._channel.unary_unary(f"/{SERVICE}/ModelInfer")(typed("UINT8", [0] * 4))
        await server.stop()
        return caught.value.code()

    assert asyncio.run(run()) is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_message_over_the_limit_is_refused_and_the_server_goes_on() -> None:
    async def ask(client: Any) -> Any:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client._channel.unary_unary(f"/{SERVICE}/ModelInfer")(bytes(MAX_BODY_BYTES + 1))
        return caught.value.code(), await client.is_server_ready()

    assert served(ask) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_compressed_message_is_refused_however_small_it_is(algorithm: str) -> None:
    async def ask(client: Any) -> Any:
        with pytest.raises(InferenceServerException) as caught:
            await client.infer("four", [pixels(0, 0, 0, 0)], compression_algorithm=algorithm)
        return str(caught.value.status()), await client.is_server_ready()

    assert served(ask) == ("StatusCode.UNIMPLEMENTED", True)


def test_a_server_that_is_full_says_so_and_stays_live() -> None:
    places = Places(max_requests=0)
    assert refused(lambda client: client.infer("four", [pixels(0, 0, 0, 0)]), places=places)[0] == "UNAVAILABLE"
    assert served(lambda client: client.is_server_live(), places=places)


def test_a_message_that_finds_no_room_is_refused_and_leaves_none_taken() -> None:
    places = Places(max_bytes=8, free_bytes=0)
    assert refused(lambda client: client.infer("four", [pixels(0, 0, 0, 0)]), places=places)[0] == "UNAVAILABLE"
    assert (places.requests, places.bytes) == (0, 0)


# --- the door ----------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Door, Mapping[str, str]]:
    file = tmp_path / "keys"
    secrets: dict[str, str] = {scope: new_key(file, scope, scope) for scope in Scope}
    return Door(file), secrets


def test_a_key_opens_and_its_absence_closes_all_but_health(keys: tuple[Door, Mapping[str, str]]) -> None:
    door, secrets = keys

    async def ask(client: Any) -> list[Any]:
        shown = {"authorization": f"Bearer {secrets['infer']}"}
        return [
            await client.is_server_live(),
            await client.is_model_ready("four"),
            (await client.infer("four", [pixels(0, 0, 0, 0)], headers=shown)).as_numpy("index").tolist(),
            (await client.get_server_metadata(headers={"x-api-key": secrets["infer"]})).name,
        ]

    assert served(ask, door=door) == [True, True, [0], "raytune"]


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic x"}])
def test_a_wrong_key_opens_nothing(keys: tuple[Door, Mapping[str, str]], headers: dict[str, str]) -> None:
    found = refused(lambda client: client.infer("four", [pixels(*[0] * 4)], headers=headers), door=keys[0])
    assert found[0] == "UNAUTHENTICATED"


def test_loading_needs_an_admins_key(keys: tuple[Door, Mapping[str, str]]) -> None:
    door, secrets = keys
    loader = Loader()
    shown = {scope: {"authorization": f"Bearer {secret}"} for scope, secret in secrets.items()}
    asked = refused(lambda client: client.load_model("four", headers=shown[Scope.INFER]), door=door, repository=loader)
    assert (asked[0], loader.asked) == ("PERMISSION_DENIED", [])

    async def ask(client: Any) -> None:
        await client.load_model("four", headers=shown[Scope.ADMIN])
        await client.unload_model("four", headers=shown[Scope.ADMIN])

    served(ask, door=door, repository=loader)
    assert loader.asked == [("load", "four", None), ("unload", "four", None)]


def test_with_a_certificate_only_who_trusts_it_is_answered(pem: Path) -> None:
    both = pem.read_bytes()
    end = both.index(b"-----BEGIN PRIVATE KEY-----")
    certificate, key = both[:end], both[end:]

    async def run() -> tuple[bool, grpc.StatusCode]:
        server = await listen(Service(DataPlane(), Door()), "127.0.0.1", 0, (key, certificate))
        url = f"127.0.0.1:{server.port}"
        trusting = grpc.ssl_channel_credentials(certificate)
        async with triton.InferenceServerClient(url, ssl=True, creds=trusting) as client:
            live = await client.is_server_live()
        async with grpc.aio.insecure_channel(url) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{SERVICE}/ServerLive")(b"")
        await server.stop()
        return live, caught.value.code()

    assert asyncio.run(run()) == (True, grpc.StatusCode.UNAVAILABLE)


def test_without_keys_this_machine_may_load_a_version() -> None:
    loader = Loader()
    parameters = {"version": ours.ChangeParameter(string_param="4")}
    message = ours.ChangeRequest(model_name="four", parameters=parameters).SerializeToString()
    assert called("RepositoryModelLoad", message, repository=loader) == b""
    served(lambda client: client.load_model("four"), repository=loader)
    assert loader.asked == [("load", "four", 4), ("load", "four", None)]
    assert refused(lambda c: c.load_model("four", config="{}"), repository=loader)[0] == "INVALID_ARGUMENT"
