"""The protocol's JSON: what is accepted means one thing however it is written; all else is a clear error."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raytune_app.errors import InputError, RaytuneError, TooLargeError
from serving.wire.binary import read_strings, write_strings
from serving.wire.outputs import ALL, Output, Wanted
from serving.wire.pictures import MAX_PICTURES, Pictures, read_raw
from serving.wire.protocol import classify_answer, classify_answers, infer_answer, model_metadata, read_infer

SHAPE = (1, 2, 3)
PICTURES = Pictures(SHAPE)
PIXELS = [0, 1, 2, 127, 254, 255]


def request(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "pixels", "shape": [1, *SHAPE], "datatype": "UINT8", "data": PIXELS} | changes
    return {"inputs": [tensor]}


def read(content: object) -> Any:
    return read_infer(json.dumps(content).encode(), None, PICTURES)


def test_flat_and_nested_data_mean_the_same() -> None:
    nested = [[[[0, 1, 2], [127, 254, 255]]]]
    flat, deep = read(request()), read(request(data=nested))
    assert (flat.batch == deep.batch).all()
    assert flat.batch.shape == (1, *SHAPE)
    assert flat.batch.ravel().tolist() == PIXELS


@pytest.mark.parametrize("datatype", ["UINT8", "UINT16", "UINT32", "UINT64", "INT16", "INT32", "INT64", "FP32", "FP64"])
def test_whole_numbers_are_the_same_pixels_in_every_datatype(datatype: str) -> None:
    pixels = read(request(datatype=datatype, data=[float(value) for value in PIXELS])).batch
    assert pixels.dtype == np.uint8
    assert pixels.ravel().tolist() == PIXELS


def test_fractions_stay_fractions() -> None:
    pixels = read(request(datatype="FP32", data=[0.5] * 6)).batch
    assert pixels.dtype == np.float32
    assert (pixels == 0.5).all()


def test_several_pictures_keep_their_order() -> None:
    pixels = read(request(shape=[3, *SHAPE], data=list(range(18)))).batch
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
        ({"datatype": "BYTES"}, "picture files"),
        ({"datatype": "FP16"}, "FP16 has no form in JSON"),
        ({"datatype": "BF16"}, "BF16 has no form in JSON"),
        ({"datatype": "INT8"}, "outside 0 to 127"),
        ({"datatype": "INT8", "data": [0, 1, 2, 127, 128.0, 0]}, "outside 0 to 127"),
        ({"datatype": "BOOL"}, "other than booleans"),
        ({"datatype": "BOOL", "data": [0, 1, 1, 0, 1, 0]}, "other than booleans"),
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
        read_infer(body, None, PICTURES)


def test_too_many_pictures_are_refused_before_their_data_is_read() -> None:
    with pytest.raises(TooLargeError, match=f"{MAX_PICTURES + 1:,} pictures"):
        read(request(shape=[MAX_PICTURES + 1, *SHAPE], data=[]))


def test_the_id_is_kept_and_a_wrong_one_refused() -> None:
    assert read(request() | {"id": "abc"}).id == "abc"
    assert read(request()).id is None
    wrong: object
    for wrong in (1, [], "x" * 257):
        with pytest.raises(InputError, match="'id'"):
            read(request() | {"id": wrong})


def test_requested_outputs_come_alone_and_in_order() -> None:
    outputs = [{"name": "label"}, {"name": "probabilities"}]
    assert read(request() | {"outputs": outputs}).outputs == (Wanted(Output.LABEL), Wanted(Output.PROBABILITIES))
    assert read(request() | {"outputs": []}).outputs == ALL
    assert read(request()).outputs == ALL


@pytest.mark.parametrize(
    "outputs", [[{"name": "scores"}], [{}], ["label"], "label", [{"name": 1}], [{"name": []}], [{}] * 99]
)
def test_unknown_outputs_are_refused_with_those_there_are(outputs: Any) -> None:
    with pytest.raises(InputError) as caught:
        read(request() | {"outputs": outputs})
    assert "probabilities, index, label" in str(caught.value.remedy)


def answer(content: dict[str, Any], probabilities: np.ndarray) -> dict[str, Any]:
    answered: dict[str, Any] = json.loads(infer_answer(read(content), "mnist", 3, ("no", "yes"), probabilities).body)
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
    metadata = model_metadata("mnist", [3], PICTURES, ("no", "yes"))
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
        status, remedy = 400, str(found.batch.shape[1:] == SHAPE)
    assert status in (400, 413)
    assert remedy not in (None, "False")


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    with pytest.raises(InputError):
        read_infer(body, None, PICTURES)


# --- the binary extension ----------------------------------------------------------------------------------------


def in_binary(values: np.ndarray, datatype: str, **changes: Any) -> tuple[bytes, int]:
    """The body of a request whose tensor follows the JSON, and the JSON's length."""
    octets = values.tobytes()
    content = request(datatype=datatype, parameters={"binary_data_size": len(octets)}, **changes)
    del content["inputs"][0]["data"]
    head = json.dumps(content).encode()
    return head + octets, len(head)


@pytest.mark.parametrize(
    ("datatype", "kind"),
    [
        ("UINT8", "u1"),
        ("UINT16", "<u2"),
        ("UINT32", "<u4"),
        ("UINT64", "<u8"),
        ("INT16", "<i2"),
        ("INT32", "<i4"),
        ("INT64", "<i8"),
        ("FP16", "<f2"),
        ("FP32", "<f4"),
        ("FP64", "<f8"),
    ],
)
def test_pixels_are_the_same_in_binary_as_in_json(datatype: str, kind: str) -> None:
    pixels = read_infer(*in_binary(np.array(PIXELS, kind), datatype), PICTURES).batch
    assert pixels.dtype == np.uint8
    assert (pixels == read(request()).batch).all()


def test_bfloat16_is_the_upper_half_of_fp32() -> None:
    values = np.array([*PIXELS[:-1], 0.5], "<f4")
    found = read_infer(*in_binary((values.view("<u4") >> 16).astype("<u2"), "BF16"), PICTURES).batch
    assert found.dtype == np.float32
    assert (found.ravel() == values).all()


def test_a_datatype_that_ends_early_still_holds_what_fits() -> None:
    low = [0, 1, 2, 3, 126, 127]
    assert read(request(datatype="INT8", data=low)).batch.ravel().tolist() == low
    assert read_infer(*in_binary(np.array(low, "i1"), "INT8"), PICTURES).batch.ravel().tolist() == low
    truth = [True, False, True, True, False, False]
    for found in (
        read(request(datatype="BOOL", data=truth)),
        read_infer(*in_binary(np.array(truth), "BOOL"), PICTURES),
    ):
        assert found.batch.dtype == np.uint8
        assert found.batch.ravel().tolist() == truth


def test_fractions_stay_fractions_in_binary() -> None:
    pixels = read_infer(*in_binary(np.full(6, 0.5, "<f4"), "FP32"), PICTURES).batch
    assert pixels.dtype == np.float32
    assert (pixels == 0.5).all()


@pytest.mark.parametrize(
    ("values", "datatype", "told"),
    [
        (np.zeros(5, np.uint8), "UINT8", "has 5 bytes, its shape and datatype 6"),
        (np.zeros(6, np.uint8), "FP32", "has 6 bytes, its shape and datatype 24"),
        (np.full(6, 256, "<i2"), "INT16", "outside 0 to 255"),
        (np.full(6, -1, "i1"), "INT8", "outside 0 to 127"),
        (np.full(6, np.nan, "<f4"), "FP32", "outside 0 to 255"),
        (np.full(6, np.inf, "<f8"), "FP64", "outside 0 to 255"),
        (np.full(6, 2, "u1"), "BOOL", "outside 0 to 1"),
        (np.full(6, -1, "<f2"), "FP16", "outside 0 to 255"),
        (np.full(6, np.nan, "<f2"), "FP16", "outside 0 to 255"),
        (np.full(6, 0xFFFF, "<u2"), "BF16", "outside 0 to 255"),
        (np.zeros(6, "<f4"), "BF16", "has 24 bytes, its shape and datatype 12"),
        (np.zeros(6, "<f4"), "TF32", "datatype"),
    ],
)
def test_wrong_binary_pixels_are_told_what_was_expected(values: np.ndarray, datatype: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_infer(*in_binary(values, datatype), PICTURES)


def test_a_raw_request_is_one_picture_and_wants_a_binary_answer() -> None:
    found = read_infer(bytes(PIXELS), 0, PICTURES)
    assert found.batch.shape == (1, *SHAPE)
    assert found.batch.ravel().tolist() == PIXELS
    assert found.outputs == tuple(Wanted(output, binary=True) for output in Output)


@pytest.mark.parametrize("everywhere", [None, True, False])
@pytest.mark.parametrize("own", [None, True, False])
def test_an_outputs_own_word_on_being_binary_wins(everywhere: bool | None, own: bool | None) -> None:
    content = request() | {"outputs": [{"name": "label"}]}
    if own is not None:
        content["outputs"][0]["parameters"] = {"binary_data": own}
    if everywhere is not None:
        content["parameters"] = {"binary_data_output": everywhere}
    wanted = everywhere if own is None else own
    assert read(content).outputs == (Wanted(Output.LABEL, binary=bool(wanted)),)


@pytest.mark.parametrize(
    "rest",
    [{"parameters": {"binary_data_output": 1}}, {"outputs": [{"name": "label", "parameters": {"binary_data": "yes"}}]}],
)
def test_a_parameter_that_is_neither_true_nor_false_is_refused(rest: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="true or false"):
        read(request() | rest)


@given(arrays(np.float32, (3, 2), elements=st.floats(0, 1, width=32)))
def test_a_binary_answer_says_the_same_as_json(probabilities: np.ndarray) -> None:
    labels = ("no", "yes \N{SNOWMAN}")
    binary = infer_answer(read(request() | {"parameters": {"binary_data_output": True}}), "m", 1, labels, probabilities)
    plain = json.loads(infer_answer(read(request()), "m", 1, labels, probabilities).body)
    head, rest = json.loads(binary.body[: binary.json_bytes]), binary.body[binary.json_bytes :]
    sizes = [output["parameters"]["binary_data_size"] for output in head["outputs"]]
    assert sum(sizes) == len(rest)
    rows, index, names = (rest[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(3))
    assert np.frombuffer(rows, "<f4").tobytes() == probabilities.tobytes()
    assert np.frombuffer(index, "<i8").tolist() == plain["outputs"][1]["data"]
    assert [each.decode() for each in read_strings(memoryview(names), 3)] == plain["outputs"][2]["data"]
    assert [{**output, "data": None} for output in plain["outputs"]] == [
        {"name": output["name"], "datatype": output["datatype"], "shape": output["shape"], "data": None}
        for output in head["outputs"]
    ]


def test_only_the_outputs_that_are_wanted_in_binary_are_binary() -> None:
    outputs = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "index"}]
    found = infer_answer(read(request() | {"outputs": outputs}), "m", 1, ("no", "yes"), np.array([[0, 1]], np.float32))
    label, index = json.loads(found.body[: found.json_bytes])["outputs"]
    assert label["parameters"] == {"binary_data_size": 7}
    assert "data" not in label
    assert index["data"] == [1]
    assert found.body.endswith(b"}" + write_strings([b"yes"]))


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_strings_survive_being_written_and_read(strings: list[bytes]) -> None:
    assert read_strings(memoryview(write_strings(strings)), len(strings)) == strings


def test_the_short_answer_to_a_list_has_the_answers_in_order() -> None:
    rows = np.array([[0.75, 0.25], [0.25, 0.75]], np.float32)
    content = json.loads(classify_answers("mood", 3, ("no", "yes"), rows))
    assert {key: content[key] for key in ("model", "version")} == {"model": "mood", "version": "3"}
    for row, answered in zip(rows, content["answers"], strict=True):
        alone = json.loads(classify_answer("mood", 3, ("no", "yes"), row))
        assert answered == {key: alone[key] for key in ("label", "index", "probabilities")}
