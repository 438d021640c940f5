"""The protocol's JSON: what is accepted means one thing however it is written; all else is a clear error."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.errors import InputError, RaytuneError, TooLargeError
from serving.protocol import MAX_IMAGES, Output, classify_answer, infer_answer, model_metadata, read_infer, read_raw

SHAPE = (1, 2, 3)
PIXELS = [0, 1, 2, 127, 254, 255]


def request(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "pixels", "shape": [1, *SHAPE], "datatype": "UINT8", "data": PIXELS} | changes
    return {"inputs": [tensor]}


def read(content: object) -> Any:
    return read_infer(json.dumps(content).encode(), SHAPE)


def test_flat_and_nested_data_mean_the_same() -> None:
    nested = [[[[0, 1, 2], [127, 254, 255]]]]
    flat, deep = read(request()), read(request(data=nested))
    assert (flat.pixels == deep.pixels).all()
    assert flat.pixels.shape == (1, *SHAPE)
    assert flat.pixels.ravel().tolist() == PIXELS


@pytest.mark.parametrize(
    "datatype", ["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64"]
)
def test_whole_numbers_are_the_same_pixels_in_every_datatype(datatype: str) -> None:
    pixels = read(request(datatype=datatype, data=[float(value) for value in PIXELS])).pixels
    assert pixels.dtype == np.uint8
    assert pixels.ravel().tolist() == PIXELS


def test_fractions_stay_fractions() -> None:
    pixels = read(request(datatype="FP32", data=[0.5] * 6)).pixels
    assert pixels.dtype == np.float32
    assert (pixels == 0.5).all()


def test_several_pictures_keep_their_order() -> None:
    pixels = read(request(shape=[3, *SHAPE], data=list(range(18)))).pixels
    assert pixels.shape == (3, *SHAPE)
    assert pixels.ravel().tolist() == list(range(18))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"shape": [1, 1, 3, 2]}, r"takes \[N, 1, 2, 3\]"),
        ({"shape": [1, 6]}, r"takes \[N, 1, 2, 3\]"),
        ({"shape": [0, *SHAPE]}, r"takes \[N, 1, 2, 3\]"),
        ({"shape": [-1, *SHAPE]}, r"takes \[N, 1, 2, 3\]"),
        ({"shape": [True, *SHAPE]}, r"takes \[N, 1, 2, 3\]"),
        ({"shape": [10**30, *SHAPE]}, r"takes \[N, 1, 2, 3\]"),
        ({"shape": None}, r"takes \[N, 1, 2, 3\]"),
        ({"shape": [2, *SHAPE]}, "has 6 numbers, its shape 12"),
        ({"data": PIXELS[:-1]}, "has 5 numbers, its shape 6"),
        ({"data": []}, "has 0 numbers"),
        ({"data": "abc"}, "must be a list"),
        ({"data": None}, "must be a list"),
        ({"data": [*PIXELS[:-1], "1"]}, "other than numbers"),
        ({"data": [*PIXELS[:-1], True]}, "other than numbers"),
        ({"data": [*PIXELS[:-1], None]}, "other than numbers"),
        ({"data": [*PIXELS[:-1], 256]}, "outside 0 to 255"),
        ({"data": [*PIXELS[:-1], -1]}, "outside 0 to 255"),
        ({"data": [*PIXELS[:-1], 10**400]}, "outside 0 to 255"),
        ({"data": [*PIXELS[:-1], 0.5]}, "fractions"),
        ({"data": [[[[0, 1, 2], [3, 4]]]]}, "nested differently"),
        ({"data": [[[0, 1, 2], [3, 4, 5]]]}, "nested differently"),
        ({"data": [[[[[0, 1, 2], [3, 4, 5]]]]]}, "nested differently"),
        ({"data": [[[[[0], [1], [2]], [[3], [4], [5]]]]]}, "nested differently"),
        ({"data": [[], 1]}, "nested differently"),
        ({"datatype": "BYTES"}, "datatype"),
        ({"datatype": "FP16"}, "datatype"),
        ({"datatype": ["UINT8"]}, "datatype"),
        ({"name": None}, "name"),
        ({"parameters": {"binary_data_size": 6}}, "binary"),
    ],
)
def test_a_wrong_tensor_is_told_what_was_expected(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read(request(**changes))


@pytest.mark.parametrize(
    "content",
    [None, [], 1, "x", {}, {"inputs": None}, {"inputs": []}, {"inputs": [1]}, {"inputs": [{}, {}]}, {"inputs": {}}],
)
def test_what_is_not_the_protocol_is_refused(content: object) -> None:
    with pytest.raises(InputError):
        read(content)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"NaN", b'{"inputs": NaN}', b"[" * 100_000, b'{"a":' * 10_000]
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        read_infer(body, SHAPE)


def test_too_many_pictures_are_refused_before_their_data_is_read() -> None:
    with pytest.raises(TooLargeError, match=f"{MAX_IMAGES + 1:,} pictures"):
        read(request(shape=[MAX_IMAGES + 1, *SHAPE], data=[]))


def test_the_id_is_kept_and_a_wrong_one_refused() -> None:
    assert read(request() | {"id": "abc"}).id == "abc"
    assert read(request()).id is None
    wrong: object
    for wrong in (1, [], "x" * 257):
        with pytest.raises(InputError, match="'id'"):
            read(request() | {"id": wrong})


def test_requested_outputs_come_alone_and_in_order() -> None:
    outputs = [{"name": "label"}, {"name": "probabilities"}]
    assert read(request() | {"outputs": outputs}).outputs == (Output.LABEL, Output.PROBABILITIES)
    assert read(request() | {"outputs": []}).outputs == tuple(Output)
    assert read(request()).outputs == tuple(Output)


@pytest.mark.parametrize(
    "outputs", [[{"name": "scores"}], [{}], ["label"], "label", [{"name": 1}], [{"name": []}], [{}] * 99]
)
def test_unknown_outputs_are_refused_with_those_there_are(outputs: Any) -> None:
    with pytest.raises(InputError) as caught:
        read(request() | {"outputs": outputs})
    assert "probabilities, index, label" in str(caught.value.remedy)


def answer(content: dict[str, Any], probabilities: np.ndarray) -> dict[str, Any]:
    answered: dict[str, Any] = json.loads(infer_answer(read(content), "mnist", 3, ("no", "yes"), probabilities))
    return answered


def test_the_answer_has_the_protocols_form() -> None:
    probabilities = np.array([[0.25, 0.75]], np.float32)
    assert answer(request() | {"id": "7"}, probabilities) == {
        "model_name": "mnist",
        "model_version": "3",
        "id": "7",
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.75]},
            {"name": "index", "datatype": "INT64", "shape": [1], "data": [1]},
            {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["yes"]},
        ],
    }


def test_an_id_that_was_not_sent_is_not_answered() -> None:
    assert "id" not in answer(request(), np.array([[1, 0]], np.float32))


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2))
def test_probabilities_survive_json_to_the_bit(values: list[float]) -> None:
    probabilities = np.array([values], np.float32)
    data = answer(request(), probabilities)["outputs"][0]["data"]
    assert np.array(data, np.float32).tobytes() == probabilities.tobytes()


def test_the_short_answer_names_every_label() -> None:
    content = json.loads(classify_answer("mnist", 3, ("no", "yes"), np.array([0.75, 0.25], np.float32)))
    assert content == {
        "model": "mnist",
        "version": "3",
        "label": "no",
        "index": 0,
        "probabilities": {"no": 0.75, "yes": 0.25},
    }


def test_raw_pixels_are_exactly_one_picture() -> None:
    assert read_raw(bytes(PIXELS), SHAPE).ravel().tolist() == PIXELS
    for wrong in (b"", bytes(5), bytes(7)):
        with pytest.raises(InputError, match="6 raw bytes"):
            read_raw(wrong, SHAPE)


def test_metadata_says_what_the_model_takes() -> None:
    metadata = model_metadata("mnist", 3, SHAPE, ("no", "yes"))
    assert metadata["inputs"] == [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, 2, 3]}]
    assert metadata["outputs"][0] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(
    tensor=st.fixed_dictionaries(
        {},
        optional={
            "name": json_values,
            "shape": json_values | st.just([1, *SHAPE]),
            "datatype": json_values | st.sampled_from(["UINT8", "FP32"]),
            "data": json_values | st.just(PIXELS),
            "parameters": json_values,
        },
    ),
    rest=st.fixed_dictionaries({}, optional={"id": json_values, "outputs": json_values, "parameters": json_values}),
)
def test_no_json_breaks_the_reader(tensor: dict[str, Any], rest: dict[str, Any]) -> None:
    try:
        found = read({"inputs": [tensor], **rest})
    except RaytuneError as error:
        status, remedy = error.http_status, error.remedy
    else:
        status, remedy = 400, str(found.pixels.shape[1:] == SHAPE)
    assert status in (400, 413)
    assert remedy not in (None, "False")


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    with pytest.raises(InputError):
        read_infer(body, SHAPE)
