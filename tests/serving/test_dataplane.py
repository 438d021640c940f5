"""The endpoint without HTTP: who answers, who is refused and why."""

import asyncio
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytune_app.errors import InputError, MediaError, NotFoundError, NotReadyError, TooLargeError
from serving.versions.dataplane import DataPlane
from serving.wire.inputs import OCTETS
from serving.wire.pictures import Pictures

SHAPE = (1, 4, 4)


class Brightness:
    """A model that says how bright a picture is; its version shows in nothing but its name."""

    name = "light"
    inputs = Pictures(SHAPE)
    labels = ("dark", "bright")
    example_s = 0.0

    def __init__(self, version: int = 1, name: str = "light") -> None:
        self.version = version
        self.name = name

    def predict(self, images: np.ndarray) -> np.ndarray:
        bright = images.reshape(len(images), -1).mean(axis=1) / 255
        return np.stack([1 - bright, bright], axis=1).astype(np.float32)


@pytest.fixture
def plane() -> DataPlane:
    plane = DataPlane()
    plane.serve(Brightness())
    return plane


def classify(plane: DataPlane, body: bytes, media: str = OCTETS, version: str | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(asyncio.run(plane.classify("light", version, media, body)))
    return answer


def png(value: int, size: int = 4, file_format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (size, size), value).save(buffer, file_format)
    return buffer.getvalue()


def test_nothing_is_ready_before_a_model_is_there() -> None:
    plane = DataPlane()
    assert plane.live() == {"live": True}
    with pytest.raises(NotReadyError):
        plane.ready()
    plane.serve(Brightness())
    assert plane.ready() == {"ready": True}


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (bytes([255] * 16), OCTETS),
        (png(255), "image/png"),
        (png(255, size=40), "image/png"),
        (png(255, size=40, file_format="JPEG"), "image/jpeg"),
        (png(255), OCTETS),
        (png(255), "application/x-www-form-urlencoded"),
    ],
)
def test_every_way_to_send_a_picture_gives_the_same_answer(plane: DataPlane, body: bytes, media: str) -> None:
    answer = classify(plane, body, media)
    assert (answer["label"], answer["index"], answer["version"]) == ("bright", 1, "1")
    assert answer["probabilities"]["bright"] == pytest.approx(1, abs=0.01)


def test_raw_pixels_that_begin_like_a_jpeg_are_still_raw_pixels(plane: DataPlane) -> None:
    assert classify(plane, b"\xff\xd8\xff" + bytes(13))["label"] == "dark"


@pytest.mark.parametrize(
    ("body", "media", "error"),
    [
        (b"", OCTETS, InputError),
        (bytes(15), OCTETS, InputError),
        (bytes(17), OCTETS, InputError),
        (bytes(16), "image/png", MediaError),
        (png(0, file_format="GIF"), "image/gif", MediaError),
        (png(0), "text/plain", MediaError),
        (png(0)[:30], "image/png", InputError),
        (png(0, size=5000), "image/png", TooLargeError),
    ],
)
def test_a_wrong_picture_is_refused_for_the_right_reason(
    plane: DataPlane, body: bytes, media: str, error: type[Exception]
) -> None:
    with pytest.raises(InputError) as caught:
        classify(plane, body, media)
    assert type(caught.value) is error


def test_infer_answers_every_picture_of_a_batch(plane: DataPlane) -> None:
    data = [0] * 16 + [255] * 16 + [0] * 16
    tensor = {"name": "pixels", "shape": [3, *SHAPE], "datatype": "UINT8", "data": data}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "label"}]}).encode()
    answer = json.loads(asyncio.run(plane.infer("light", None, body)).body)
    assert answer["outputs"][0]["data"] == ["dark", "bright", "dark"]


def test_a_new_version_takes_over_and_the_old_one_is_gone(plane: DataPlane) -> None:
    plane.serve(Brightness(version=2))
    assert classify(plane, bytes(16))["version"] == "2"
    assert classify(plane, bytes(16), version="2")["version"] == "2"
    with pytest.raises(NotFoundError, match="does not serve that version"):
        classify(plane, bytes(16), version="1")


def test_a_request_inside_finishes_with_the_version_it_met(plane: DataPlane) -> None:
    async def run() -> dict[str, Any]:
        request = asyncio.ensure_future(plane.classify("light", None, OCTETS, bytes(16)))
        await asyncio.sleep(0)  # it is inside now
        plane.serve(Brightness(version=2))
        answer: dict[str, Any] = json.loads(await request)
        return answer

    assert asyncio.run(run())["version"] == "1"


def test_a_refused_version_says_why_and_the_old_one_keeps_answering(plane: DataPlane) -> None:
    plane.refuse("light", 2, "weights.safetensors is damaged")
    with pytest.raises(NotReadyError, match=r"weights\.safetensors is damaged"):
        plane.model_ready("light", "2")
    assert plane.model_ready("light", None) == {"name": "light", "ready": True}
    assert classify(plane, bytes(16))["version"] == "1"
    plane.forget_refusals()
    with pytest.raises(NotFoundError):
        plane.model_ready("light", "2")


def test_models_do_not_answer_for_each_other(plane: DataPlane) -> None:
    plane.serve(Brightness(version=7, name="other"))
    assert plane.versions() == {"light": 1, "other": 7}
    assert classify(plane, bytes(16))["model"] == "light"
    plane.retire("other")
    with pytest.raises(NotFoundError):
        plane.model_metadata("other", None)


@pytest.mark.parametrize("version", ["0", "-1", "x", "9" * 5000, ""])
def test_a_version_that_cannot_be_is_not_found(plane: DataPlane, version: str) -> None:
    with pytest.raises(NotFoundError):
        plane.model_metadata("light", version)


def test_a_truncated_file_is_never_taken_for_raw_pixels(plane: DataPlane) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG")
    cut = buffer.getvalue()[: np.prod(SHAPE)]
    with pytest.raises(InputError):
        asyncio.run(plane.classify("light", None, "image/png", cut))
