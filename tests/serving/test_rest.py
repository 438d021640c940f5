"""HTTP: the right status for everything, limits before work, and nothing internal in an answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.errors import CorruptModelError
from serving.versions.dataplane import DataPlane
from serving.web.asgi import Entrance, Reader
from serving.web.rest import Rest
from serving.wire.binary import write_strings
from serving.wire.pictures import Pictures
from serving.wire.texts import Texts

LIMIT = 1000
RAW = {"content-type": "application/octet-stream"}


class Constant:
    """A model for pictures of four pixels; `fails` makes it raise."""

    name = "four"
    version = 3
    inputs = Pictures((1, 2, 2))
    labels = ("no", "yes")
    example_s = 0.0
    fails: Exception | None = None

    def predict(self, images: np.ndarray) -> np.ndarray:
        if self.fails:
            raise self.fails
        return np.tile(np.array([0.25, 0.75], np.float32), (len(images), 1))


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


def ask(method: str, path: str, model: Constant | None = None, **request: Any) -> httpx.Response:
    plane = DataPlane()
    plane.serve(model or Constant())
    plane.serve(Letters())

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(Rest(plane, entrance=Entrance(reader=Reader(LIMIT))))
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            return await client.request(method, path, **request)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/four/ready", {"name": "four", "ready": True}),
        ("/v2/models/four/versions/3/ready", {"name": "four", "ready": True}),
    ],
)
def test_health_is_json_with_status_200(path: str, expected: dict[str, Any]) -> None:
    answer = ask("GET", path)
    assert (answer.status_code, answer.json()) == (200, expected)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_describes_itself(path: str) -> None:
    assert set(ask("GET", path).json()) == {"name", "version", "extensions"}


@pytest.mark.parametrize("path", ["/v2/models/four", "/v2/models/four/versions/3"])
def test_a_model_describes_itself(path: str) -> None:
    assert ask("GET", path).json()["inputs"][0]["shape"] == [-1, 1, 2, 2]


@pytest.mark.parametrize("prefix", ["/v2/models/four", "/v2/models/four/versions/3"])
def test_both_ways_to_ask_answer(prefix: str) -> None:
    assert ask("POST", f"{prefix}/classify", content=bytes(4), headers=RAW).json()["label"] == "yes"
    tensor = {"name": "pixels", "shape": [1, 1, 2, 2], "datatype": "UINT8", "data": [1, 2, 3, 4]}
    assert ask("POST", f"{prefix}/infer", json={"inputs": [tensor]}).json()["outputs"][2]["data"] == ["yes"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/", 404),
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/four/versions/9", 404),
        ("GET", "/v2/models/four/versions/9/ready", 404),
        ("GET", "/v2/models/four/other", 404),
        ("GET", "/v2/models/four/ready/more", 404),
        ("GET", "/v2/models/%2e%2e/ready", 404),
        ("POST", "/v2/models/nobody/infer", 404),
        ("POST", "/v2/models/four/versions/9/classify", 404),
        ("GET", "/v2/models/four/infer", 405),
        ("DELETE", "/v2/models/four", 405),
        ("POST", "/v2/health/live", 405),
        ("POST", "/v2/models/four/infer", 400),
        ("POST", "/v2/models/four/classify", 400),
    ],
)
def test_a_wrong_request_gets_its_status_and_a_json_error(method: str, path: str, status: int) -> None:
    answer = ask(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


def test_a_long_body_is_refused_by_its_header_without_being_read() -> None:
    received = []

    async def body() -> AsyncIterator[bytes]:
        received.append(1)
        yield b"x"

    answer = ask("POST", "/v2/models/four/classify", content=body(), headers={"content-length": str(LIMIT + 1)})
    assert answer.status_code == 413
    assert f"{LIMIT:,}" in answer.json()["error"]


def test_a_long_body_without_a_length_is_refused_when_it_gets_too_long() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(LIMIT):
            yield bytes(10)

    answer = ask("POST", "/v2/models/four/classify", content=body())
    assert answer.status_code == 413


def test_a_body_in_pieces_is_put_together() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x"

    assert ask("POST", "/v2/models/four/classify", content=body()).json()["label"] == "yes"


def test_bodies_compressed_in_an_unknown_way_are_refused() -> None:
    answer = ask("POST", "/v2/models/four/infer", content=b"x", headers={"content-encoding": "br"})
    assert answer.status_code == 415


@pytest.mark.parametrize("media", ["text/html", "image/gif", "multipart/mixed"])
def test_other_kinds_of_content_are_refused(media: str) -> None:
    answer = ask("POST", "/v2/models/four/classify", content=bytes(4), headers={"content-type": media})
    assert answer.status_code == 415


def test_parameters_of_the_content_type_do_not_matter() -> None:
    headers = {"content-type": "Application/Octet-Stream; charset=utf-8"}
    assert ask("POST", "/v2/models/four/classify", content=bytes(4), headers=headers).status_code == 200


def test_a_fault_shows_a_request_id_and_nothing_internal(caplog: pytest.LogCaptureFixture) -> None:
    model = Constant()
    model.fails = ValueError("secret at /srv/models/four")
    answer = ask("POST", "/v2/models/four/classify", model, content=bytes(4), headers=RAW)
    assert answer.status_code == 500
    assert answer.json()["error"] == "internal error"
    assert "secret" not in answer.text
    assert answer.json()["request_id"] in caplog.text
    assert "secret" in caplog.text


def test_expected_errors_keep_their_own_status() -> None:
    model = Constant()
    model.fails = CorruptModelError("damaged", "restore it")
    answer = ask("POST", "/v2/models/four/classify", model, content=bytes(4), headers=RAW)
    assert (answer.status_code, answer.json()) == (500, {"error": "damaged; restore it"})


TEXT = {"content-type": "text/plain; charset=utf-8"}
LENGTH = "inference-header-content-length"


def test_a_text_and_a_list_of_texts_are_classified() -> None:
    assert ask("POST", "/v2/models/letters/classify", content="łódź", headers=TEXT).json()["label"] == "long"
    assert ask("POST", "/v2/models/letters/classify", json="ab").json()["label"] == "short"
    answers = ask("POST", "/v2/models/letters/classify", json=["ab", "abcd"]).json()["answers"]
    assert [answer["label"] for answer in answers] == ["short", "long"]


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"a", "text/plain; charset=latin-1", 415),
        (b"a", "text/html", 415),
        (b"\xff", "text/plain", 400),
        (b"", "text/plain", 400),
        (rb'"\ud800"', "application/json", 400),
        (b"a" * (LIMIT + 1), "text/plain", 413),
    ],
)
def test_a_wrong_text_gets_its_status(content: bytes, media: str, status: int) -> None:
    answer = ask("POST", "/v2/models/letters/classify", content=content, headers={"content-type": media})
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_a_binary_tensor_goes_in_and_comes_out() -> None:
    octets = write_strings([b"ab", b"abcd"])
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(octets)}}
    outputs = [{"name": "label", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    answer = ask("POST", "/v2/models/letters/infer", content=head + octets, headers={LENGTH: str(len(head))})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    size = int(answer.headers[LENGTH])
    assert json.loads(answer.content[:size])["outputs"][0]["parameters"] == {"binary_data_size": 17}
    assert answer.content[size:] == write_strings([b"short", b"long"])


def test_an_answer_without_binary_tensors_has_no_header_of_theirs() -> None:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["ab"]}
    answer = ask("POST", "/v2/models/letters/infer", json={"inputs": [tensor]})
    assert LENGTH not in answer.headers
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("value", ["-1", "x", "", "9" * 5000, "1e3", "99"])
def test_a_wrong_length_of_the_json_is_refused(value: str) -> None:
    answer = ask("POST", "/v2/models/letters/infer", content=b"{}", headers={LENGTH: value})
    assert (answer.status_code, set(answer.json())) == (400, {"error"})


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_index_lists_what_answers(method: str) -> None:
    models = [("four", "3"), ("letters", "1")]
    expected = [{"name": name, "version": version, "state": "READY", "reason": ""} for name, version in models]
    assert ask(method, "/v2/repository/index").json() == expected


@given(
    path=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30),
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
    body=st.binary(max_size=50),
)
def test_no_path_and_no_body_makes_a_fault(path: str, method: str, body: bytes) -> None:
    scope = {"type": "http", "method": method, "path": f"/v2/models/{path}", "headers": []}
    plane = DataPlane()
    plane.serve(Constant())
    plane.serve(Letters())
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Rest(plane)(scope, receive, send))
    assert sent[0]["status"] in (200, 400, 404, 405, 415)
    json.loads(sent[1]["body"])


@given(
    body=st.binary(max_size=60),
    verb=st.sampled_from(["infer", "classify"]),
    media=st.sampled_from(
        ["text/plain", "application/json", "application/octet-stream", "text/plain; charset=x", "\xff"]
    ),
    length=st.none() | st.integers(0, 70).map(str) | st.text(st.characters(max_codepoint=255), max_size=5),
)
def test_no_body_and_no_header_makes_a_fault_of_a_model_of_texts(
    body: bytes, verb: str, media: str, length: str | None
) -> None:
    headers = [(b"content-type", media.encode("latin-1"))]
    headers += [] if length is None else [(LENGTH.encode(), length.encode("latin-1"))]
    scope = {"type": "http", "method": "POST", "path": f"/v2/models/letters/{verb}", "headers": headers}
    plane = DataPlane()
    plane.serve(Letters())
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Rest(plane)(scope, receive, send))
    assert sent[0]["status"] in (200, 400, 413, 415)
