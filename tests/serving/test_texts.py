"""Texts into the endpoint: what goes in means one thing however it is written; all else is a clear error."""

import asyncio
import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.errors import InputError, MediaError, RaytuneError, TooLargeError
from serving.versions.dataplane import DataPlane
from serving.wire.binary import write_strings
from serving.wire.inputs import CURL_DEFAULT, OCTETS
from serving.wire.protocol import model_metadata, read_infer
from serving.wire.texts import JSON, MAX_TEXT_BYTES, MAX_TEXTS, SHARED_CHARACTERS, USUAL_CHARACTERS, Texts

TEXTS = Texts()
PLAIN = "text/plain"

unicode_texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=9)
"""Any Unicode: NUL, emoji, right-to-left, unassigned; a lone surrogate is not Unicode."""


def tensor(data: Any, shape: Any = None, **changes: Any) -> dict[str, Any]:
    sizes = [len(data)] if shape is None else shape
    return {"inputs": [{"name": "text", "shape": sizes, "datatype": "BYTES", "data": data} | changes]}


def read(content: object) -> list[str]:
    return read_infer(json.dumps(content).encode(), None, TEXTS).batch


def in_binary(octets: bytes, shape: list[int], **changes: Any) -> tuple[bytes, int]:
    """The body of an infer request with its one tensor behind the JSON, and the JSON's length."""
    parameters = {"binary_data_size": len(octets)} | changes
    one = {"name": "text", "shape": shape, "datatype": "BYTES", "parameters": parameters}
    head = json.dumps({"inputs": [one]}).encode()
    return head + octets, len(head)


def classify(content_type: str, body: bytes) -> tuple[list[str], bool]:
    return TEXTS.read_body(content_type, body)


@given(unicode_texts)
def test_any_texts_arrive_as_they_are_however_they_are_sent(texts: list[str]) -> None:
    encoded = write_strings([text.encode() for text in texts])
    assert read(tensor(texts)) == texts
    assert read(tensor([[text] for text in texts], [len(texts), 1])) == texts
    assert read_infer(*in_binary(encoded, [len(texts)]), TEXTS).batch == texts
    assert read_infer(*in_binary(encoded, [len(texts), 1]), TEXTS).batch == texts
    for ascii_only in (True, False):
        body = json.dumps(texts, ensure_ascii=ascii_only).encode()
        assert classify(JSON, body) == (texts, True)
        assert classify(JSON, b'{"text": ' + body + b"}") == (texts, True)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_one_text_arrives_as_it_is_however_it_is_sent(text: str) -> None:
    body = text.encode()
    for media in (PLAIN, f"{PLAIN}; charset=UTF-8", 'Text/Plain;charset="utf-8"', OCTETS, CURL_DEFAULT):
        assert classify(media, body) == ([text], False)
    for content in (text, {"text": text}):
        assert classify(JSON, json.dumps(content).encode()) == ([text], False)
    assert read_infer(body, 0, TEXTS).batch == [text]


@pytest.mark.parametrize("text", ["\0", "\N{FACE WITH TEARS OF JOY}", "\u202eabc", "\ufeff", "e\u0301", "\U0010ffff"])
def test_the_hardest_characters_are_texts_like_others(text: str) -> None:
    assert read(tensor([text])) == [text]
    assert classify(PLAIN, text.encode()) == ([text], False)


@pytest.mark.parametrize("lone", [rb'"\ud800"', rb'"\udc00"', rb'"a\ud800b"', rb'["\ud800\ud800"]', b'"\xed\xa0\x80"'])
def test_a_lone_surrogate_is_refused(lone: bytes) -> None:
    with pytest.raises(InputError, match=r"lone surrogate|not JSON"):
        classify(JSON, lone)
    body = b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [' + lone + b"]}]}"
    with pytest.raises(InputError, match=r"lone surrogate|not JSON"):
        read_infer(body, None, TEXTS)


def test_a_surrogate_pair_is_one_character() -> None:
    assert classify(JSON, rb'"\ud83d\ude02"') == (["\N{FACE WITH TEARS OF JOY}"], False)


@pytest.mark.parametrize(
    ("body", "json_bytes", "told"),
    [
        (b"abc\xff", 0, "byte 3"),
        (*in_binary(write_strings([b"a", b"\xc3"]), [2]), "text 1 is not UTF-8: its byte 0"),
        (*in_binary(write_strings([b"a"]), [2]), "not 2 elements"),
        (*in_binary(write_strings([b"a", b"b"]), [1]), "not 1 elements"),
        (*in_binary(write_strings([b"a"])[:-1], [1]), "not 1 elements"),
        (*in_binary(b"\1\0\0", [1]), "not 1 elements"),
        (*in_binary(struct.pack("<I", 2**32 - 1) + b"a", [1]), "not 1 elements"),
        (*in_binary(b"", [1]), "not 1 elements"),
        (*in_binary(write_strings([b"a"]), [1], binary_data_size=4), "is 4, but 5 bytes"),
        (*in_binary(write_strings([b"a"]), [1], binary_data_size=-1), "is -1, but 5 bytes"),
        (*in_binary(write_strings([b"a"]), [1], binary_data_size=10**30), "no number, but 5 bytes"),
        (*in_binary(write_strings([b"a"]), [1], binary_data_size="5"), "no number, but 5 bytes"),
        (*in_binary(write_strings([b"a"]), [1], binary_data_size=True), "no number, but 5 bytes"),
        (json.dumps(tensor(["a"], parameters={"binary_data_size": 0})).encode(), None, "has both"),
        (json.dumps({"inputs": [{**tensor(["a"])["inputs"][0], "data": None}]}).encode(), None, "must be a list"),
        (json.dumps(tensor(["a"])).encode() + b"xy", len(json.dumps(tensor(["a"]))), "2 bytes follow"),
        (b"{}", 3, "says 3 bytes, the body has 2"),
        (b"", 0, "empty"),
        (b"", None, "empty"),
    ],
)
def test_broken_binary_data_is_told_what_is_wrong(body: bytes, json_bytes: int | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_infer(body, json_bytes, TEXTS)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (tensor(["a"], [2]), "has 1 strings, its shape 2"),
        (tensor(["a"], [0]), "at least 1"),
        (tensor(["a"], [-1]), "at least 1"),
        (tensor(["a"], [1, 2]), r"\[N\] or \[N, 1\]"),
        (tensor(["a"], [1, 1, 1]), r"\[N\] or \[N, 1\]"),
        (tensor(["a"], []), r"\[N\] or \[N, 1\]"),
        (tensor(["a"], "1"), r"\[N\] or \[N, 1\]"),
        (tensor(["a"], [True]), r"\[N\] or \[N, 1\]"),
        (tensor(["a"], [1, True]), r"\[N\] or \[N, 1\]"),
        (tensor([["a"]], [1]), "nested differently"),
        (tensor([[["a"]]], [1, 1]), "nested differently"),
        (tensor([1]), "other than strings"),
        (tensor([None]), "other than strings"),
        (tensor([{"a": 1}]), "other than strings"),
        (tensor(["a", ["b"]]), "other than strings"),
        (tensor(["a"], datatype="UINT8"), "use BYTES|datatype"),
        (tensor(["a"], datatype=["BYTES"]), "datatype"),
        (tensor("a"), "must be a list"),
        ({"inputs": [{}, {}]}, "one tensor, 'text'"),
    ],
)
def test_a_wrong_tensor_is_told_what_was_expected(content: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read(content)


@pytest.mark.parametrize(
    ("content_type", "body", "error", "told"),
    [
        (PLAIN, b"", InputError, "empty"),
        (JSON, b"", InputError, "empty"),
        (PLAIN, b"caf\xe9 au lait", InputError, "byte 3"),
        (PLAIN, "\ud800".encode("utf-8", "surrogatepass"), InputError, "byte 0"),
        (f"{PLAIN}; charset=latin-1", b"caf\xe9", MediaError, "charset"),
        (f"{PLAIN}; a=b; Charset=UTF-16", b"a", MediaError, "charset"),
        ("text/html", b"a", MediaError, "Content-Type"),
        ("image/png", b"a", MediaError, "Content-Type"),
        ("", b"a", MediaError, "Content-Type"),
        (JSON, b"{", InputError, "not JSON"),
        (JSON, b"NaN", InputError, "not JSON"),
        (JSON, b"[]", InputError, "at least one"),
        (JSON, b"1", InputError, "neither a text nor a list"),
        (JSON, b"null", InputError, "neither a text nor a list"),
        (JSON, b'["a", 1]', InputError, "other than strings"),
        (JSON, b'[["a"]]', InputError, "other than strings"),
        (JSON, b"{}", InputError, "must have 'text'"),
        (JSON, b'{"text": "a", "top": 1}', InputError, "nothing else"),
        (JSON, b'{"text": {"text": "a"}}', InputError, "neither a text nor a list"),
        (JSON, b"[" * 100_000, InputError, "not JSON"),
    ],
)
def test_a_wrong_body_is_refused_for_the_right_reason(
    content_type: str, body: bytes, error: type[Exception], told: str
) -> None:
    with pytest.raises(InputError, match=told) as caught:
        classify(content_type, body)
    assert type(caught.value) is error
    assert caught.value.remedy


def test_messages_never_repeat_a_text() -> None:
    for content_type, body in ((JSON, b'["secret", 1]'), (PLAIN, b"secret\xff"), (JSON, b'"secret'), ("secret", b"a")):
        with pytest.raises(InputError) as caught:
            classify(content_type, body)
        assert "secret" not in f"{caught.value.message} {caught.value.remedy}"


@contextmanager
def too_large(told: str) -> Iterator[None]:
    with pytest.raises(TooLargeError, match=told) as caught:
        yield
    assert len(f"{caught.value.message} {caught.value.remedy}") < 200


@pytest.mark.parametrize("character", ["a", "é", "\N{FACE WITH TEARS OF JOY}"])
def test_a_text_may_be_as_long_as_the_limit_and_not_a_byte_longer(character: str) -> None:
    longest = character * (MAX_TEXT_BYTES // len(character.encode()))
    longer = longest + "a"
    assert read(tensor([longest])) == [longest]
    assert classify(PLAIN, longest.encode()) == ([longest], False)
    with too_large(f"text 1 has {MAX_TEXT_BYTES + 1:,} bytes"):
        read(tensor(["", longer]))
    with too_large(f"text 1 has {MAX_TEXT_BYTES + 1:,} bytes"):
        classify(JSON, json.dumps(["", longer]).encode())
    with too_large(f"the text has {MAX_TEXT_BYTES + 1:,} bytes"):
        classify(PLAIN, longer.encode())
    with too_large(f"text 0 has {MAX_TEXT_BYTES + 1:,} bytes"):
        read_infer(*in_binary(write_strings([longer.encode()]), [1]), TEXTS)


def test_there_may_be_as_many_texts_as_the_limit_and_not_one_more() -> None:
    texts = ["a"] * MAX_TEXTS
    assert len(read(tensor(texts))) == len(classify(JSON, json.dumps(texts).encode())[0]) == MAX_TEXTS
    with too_large(f"{MAX_TEXTS + 1:,} texts"):
        read(tensor([], [MAX_TEXTS + 1]))
    with too_large(f"{MAX_TEXTS + 1:,} texts"):
        classify(JSON, json.dumps([*texts, "a"]).encode())


def test_a_long_text_weighs_as_much_as_many_and_keeps_none_waiting() -> None:
    assert TEXTS.weight(["", "a", "b" * (USUAL_CHARACTERS - 1)]) == 3
    assert TEXTS.weight(["a" * 100 * USUAL_CHARACTERS]) > 100
    assert TEXTS.alone(["a" * SHARED_CHARACTERS]) is not None
    assert TEXTS.alone(["a" * (SHARED_CHARACTERS + 1)]) is None
    assert TEXTS.alone(["a", "b"]) is None


def test_metadata_says_that_the_model_takes_texts() -> None:
    metadata = model_metadata("mood", [3], TEXTS, ("bad", "good"))
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["labels"] == ["bad", "good"]


def outcome(texts: Callable[[], list[str]]) -> list[str] | int:
    """The texts, or the status of the refusal; any other exception is a fault."""
    try:
        return texts()
    except RaytuneError as error:
        return error.http_status


@given(st.binary(max_size=60), st.sampled_from([PLAIN, JSON, OCTETS, CURL_DEFAULT, "image/png"]))
def test_no_body_breaks_the_reader(body: bytes, content_type: str) -> None:
    texts = outcome(lambda: classify(content_type, body)[0])
    assert texts in (400, 415) or (isinstance(texts, list) and texts and {type(text) for text in texts} == {str})


@given(st.binary(max_size=60), st.none() | st.integers(0, 70))
def test_no_bytes_break_the_infer_reader(body: bytes, json_bytes: int | None) -> None:
    texts = outcome(lambda: read_infer(body, json_bytes, TEXTS).batch)
    assert texts == 400 or (json_bytes == 0 and texts == [body.decode()])


@given(st.binary(max_size=40), st.integers(1, 4))
def test_no_tensor_bytes_break_the_infer_reader(octets: bytes, count: int) -> None:
    texts = outcome(lambda: read_infer(*in_binary(octets, [count]), TEXTS).batch)
    assert texts == 400 or (isinstance(texts, list) and write_strings([text.encode() for text in texts]) == octets)


class Length:
    """A model that calls a text long or short; it counts its batches."""

    name = "length"
    version = 1
    inputs = TEXTS
    labels = ("short", "long")
    example_s = 0.0

    def __init__(self) -> None:
        self.batches = list[int]()

    def predict(self, texts: list[str]) -> np.ndarray:
        self.batches.append(len(texts))
        long = np.array([len(text) > 3 for text in texts], np.float32)
        return np.stack([1 - long, long], axis=1)


def test_one_text_gets_one_answer_and_a_list_gets_a_list() -> None:
    plane, model = DataPlane(), Length()
    plane.serve(model)
    one = json.loads(asyncio.run(plane.classify("length", None, PLAIN, b"longer")))
    several = json.loads(asyncio.run(plane.classify("length", None, JSON, b'["longer", "b", ""]')))
    alone = {"label": "long", "index": 1, "probabilities": {"short": 0.0, "long": 1.0}}
    assert one == {"model": "length", "version": "1", **alone}
    assert {**several, "answers": several["answers"][:1]} == {"model": "length", "version": "1", "answers": [alone]}
    assert [answer["label"] for answer in several["answers"]] == ["long", "short", "short"]
    assert json.loads(asyncio.run(plane.classify("length", None, JSON, b'["b"]')))["answers"][0]["label"] == "short"


def test_texts_that_wait_together_are_computed_together() -> None:
    plane, model = DataPlane(), Length()
    plane.serve(model)

    async def run() -> list[bytes]:
        return await asyncio.gather(*(plane.classify("length", None, PLAIN, b"a" * size) for size in range(1, 9)))

    labels = [json.loads(answer)["label"] for answer in asyncio.run(run())]
    assert labels == ["short"] * 3 + ["long"] * 5
    assert model.batches == [8]
