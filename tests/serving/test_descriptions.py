"""The model configuration and statistics extensions: Triton's shapes, true counts and times."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from serving.versions.dataplane import DataPlane
from serving.web.rest import Rest
from serving.wire.descriptions import model_config
from serving.wire.pictures import Pictures
from serving.wire.protocol import EXTENSIONS
from serving.wire.texts import Texts

ONE = bytes(4)
FAILS = b"\xff" * 4


class Four:
    """A model for pictures of four pixels; white ones make it raise."""

    name = "four"
    version = 3
    inputs = Pictures((1, 2, 2))
    labels = ("no", "yes")
    example_s = 0.0

    def predict(self, images: np.ndarray) -> np.ndarray:
        if (images == 255).all():
            raise ValueError("too bright")
        return np.tile(np.array([0.25, 0.75], np.float32), (len(images), 1))


def asked(plane: DataPlane, *requests: tuple[str, str, Any]) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(Rest(plane)), base_url="http://endpoint") as client:
            return [await client.request(method, path, content=content) for method, path, content in requests]

    return asyncio.run(run())


def four() -> DataPlane:
    plane = DataPlane()
    plane.serve(Four())
    return plane


@pytest.mark.parametrize("prefix", ["/v2/models/four", "/v2/models/four/versions/3"])
def test_the_configuration_has_the_shape_that_triton_gave_it(prefix: str) -> None:
    (answer,) = asked(four(), ("GET", f"{prefix}/config", b""))
    content = answer.json()
    assert content["input"] == [
        {"name": "pixels", "data_type": "TYPE_UINT8", "dims": [1, 2, 2], "format": "FORMAT_NCHW"}
    ]
    assert [(each["name"], each["data_type"], each["dims"]) for each in content["output"]] == [
        ("probabilities", "TYPE_FP32", [2]),
        ("index", "TYPE_INT64", []),
        ("label", "TYPE_STRING", []),
    ]
    assert content["max_batch_size"] == Four.inputs.max_batch
    json_format.ParseDict({"config": content}, service_pb2.ModelConfigResponse())


def test_the_configuration_of_texts_says_strings() -> None:
    assert model_config("tone", [1], Texts(), ("bad", "good"))["input"] == [
        {"name": "text", "data_type": "TYPE_STRING", "dims": [], "format": "FORMAT_NONE"}
    ]


def test_statistics_are_what_happened() -> None:
    plane = four()
    tensor = {"name": "x", "shape": [5, 1, 2, 2], "datatype": "UINT8", "data": [0] * 20}
    five = httpx.Request("POST", "http://endpoint", json={"inputs": [tensor]}).content
    classify, infer = ("POST", "/v2/models/four/classify"), ("POST", "/v2/models/four/infer")
    statuses = [each.status_code for each in asked(plane, (*classify, ONE), (*infer, five), (*classify, FAILS))]
    assert statuses == [200, 200, 500]
    (one, every, wrong) = asked(
        plane,
        ("GET", "/v2/models/four/versions/3/stats", b""),
        ("GET", "/v2/models/stats", b""),
        ("GET", "/v2/models/four/versions/9/stats", b""),
    )
    assert wrong.status_code == 404
    assert one.json() == every.json()
    (found,) = one.json()["model_stats"]
    json_format.ParseDict(one.json(), service_pb2.ModelStatisticsResponse())
    assert (found["name"], found["version"], found["inference_count"]) == ("four", "3", 6)
    assert found["execution_count"] == 2
    times = found["inference_stats"]
    assert {name: times[name]["count"] for name in ("success", "fail", "queue", "compute_infer")} == {
        "success": 2,
        "fail": 1,
        "queue": 6,
        "compute_infer": 2,
    }
    assert times["success"]["ns"] + times["fail"]["ns"] > times["compute_infer"]["ns"] > 0
    assert times["compute_input"] == {"count": 0, "ns": 0}


def test_the_extensions_that_are_there_are_named() -> None:
    (answer,) = asked(four(), ("GET", "/v2", b""))
    assert answer.json()["extensions"] == list(EXTENSIONS)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v2/models/four", "GET, HEAD"),
        ("GET", "/v2/models/four/infer", "POST"),
        ("PUT", "/v2/repository/index", "POST, GET, HEAD"),
    ],
)
def test_a_method_that_is_not_there_is_told_which_are(method: str, path: str, allowed: str) -> None:
    (answer,) = asked(four(), (method, path, b""))
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
