"""The client and the endpoint together, without a network: what one sends the other understands."""

import asyncio
import threading
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from raytune_app.endpoint import tensors
from raytune_app.endpoint.client import SINGLES, Endpoint
from raytune_app.endpoint.tensors import BATCH
from raytune_app.errors import EndpointError, InputError, TooLargeError
from serving.versions.dataplane import DataPlane
from serving.web.rest import Rest
from serving.wire.pictures import Pictures
from serving.wire.texts import MAX_TEXT_BYTES, Texts


class Parity:
    """Says whether a text has an odd number of characters, or a picture an odd first pixel; keeps its batches."""

    version = 1
    labels = ("even", "odd")
    example_s = 0.0

    def __init__(self, name: str, inputs: Texts | Pictures) -> None:
        self.name = name
        self.inputs = inputs
        self.batches = list[int]()

    def predict(self, batch: list[str] | np.ndarray) -> np.ndarray:
        self.batches.append(len(batch))
        odd = np.array([(len(each) if isinstance(each, str) else int(each.flat[0])) % 2 for each in batch], np.float32)
        return np.stack([1 - odd, odd], axis=1)


@pytest.fixture
def models() -> dict[str, Parity]:
    return {"texts": Parity("texts", Texts()), "pictures": Parity("pictures", Pictures((1, 2, 2)))}


@pytest.fixture
def endpoint(models: dict[str, Parity]) -> Iterator[Endpoint]:
    plane, lock = DataPlane(), threading.Lock()
    for model in models.values():
        plane.serve(model)
    server = httpx.ASGITransport(Rest(plane))

    async def answer(request: httpx.Request) -> httpx.Response:
        asked = httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
        response = await server.handle_async_request(asked)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

    def handle(request: httpx.Request) -> httpx.Response:
        with lock:  # the plane belongs to one event loop at a time
            return asyncio.run(answer(request))

    with Endpoint("http://endpoint") as endpoint:
        endpoint._client.close()
        endpoint._client = httpx.Client(base_url=endpoint.url, transport=httpx.MockTransport(handle))
        yield endpoint


def test_texts_are_classified_in_order_in_requests_of_a_batch(endpoint: Endpoint, models: dict[str, Parity]) -> None:
    texts = ["a" * (index % 7) for index in range(2 * BATCH + 1)]
    answers = endpoint.classify_texts("texts", texts, version=1)
    assert [answer["index"] for answer in answers] == [len(text) % 2 for text in texts]
    assert answers[1] == {"label": "odd", "index": 1, "probabilities": {"even": 0.0, "odd": 1.0}}
    assert models["texts"].batches == [BATCH, BATCH, 1]


def test_no_texts_have_no_answers(endpoint: Endpoint) -> None:
    assert endpoint.classify_texts("texts", []) == []


def test_long_texts_are_spread_over_more_requests(
    endpoint: Endpoint, models: dict[str, Parity], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensors, "BATCH_CHARACTERS", 10)
    answers = endpoint.classify_texts("texts", ["a" * 4, "a" * 6, "a", "a" * 99, "a"])
    assert [answer["index"] for answer in answers] == [0, 0, 1, 1, 1]
    assert models["texts"].batches == [2, 1, 1, 1]


def test_a_text_that_no_request_can_hold_is_the_callers_mistake(endpoint: Endpoint) -> None:
    with pytest.raises(InputError, match="lone surrogate"):
        endpoint.classify_texts("texts", ["a\ud800"])
    with pytest.raises(TooLargeError, match=f"{MAX_TEXT_BYTES + 1:,} bytes"):
        endpoint.classify_texts("texts", ["a" * (MAX_TEXT_BYTES + 1)])


def test_probabilities_of_texts_come_to_the_bit(endpoint: Endpoint) -> None:
    assert endpoint.infer("texts", ["a", "", "\0\N{SNOWMAN}"]).tolist() == [[0, 1], [1, 0], [1, 0]]


@pytest.mark.parametrize("kind", ["texts", "pictures"])
def test_an_evaluation_sends_each_example_once_in_batches_and_the_first_alone(
    endpoint: Endpoint, models: dict[str, Parity], kind: str
) -> None:
    sizes = np.arange(SINGLES + BATCH) % 5
    texts = ["a" * size for size in sizes]
    images = np.broadcast_to(sizes.astype(np.uint8)[:, None, None, None], (len(sizes), 1, 2, 2))
    labels = sizes % 2
    labels[:75] = 1 - labels[:75]
    evaluation = endpoint.evaluate(kind, texts if kind == "texts" else images, labels)
    assert (evaluation.n, evaluation.version) == (len(sizes), "1")
    assert evaluation.accuracy == pytest.approx(0.9)
    assert (evaluation.predictions == sizes % 2).all()
    assert sorted(models[kind].batches) == [1] * SINGLES + [BATCH] * 3


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"outputs": [{"shape": [3]}], "model_version": "1"}1234'])
def test_an_answer_of_another_kind_is_said(body: bytes) -> None:
    with pytest.raises(EndpointError, match="not the one asked for"):
        tensors.probabilities(body, str(body.find(b"}") + 1) if body else None)
