"""Outputs: the classification extension ranks as the probabilities do, in every form an answer may take."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raytune_app.errors import InputError
from serving.wire.binary import read_strings
from serving.wire.outputs import ALL, ALL_BINARY, Output, Wanted, compute, read_outputs
from serving.wire.protocol import InferRequest, infer_answer

LABELS = ("no", "a:b", "yes \N{SNOWMAN}")
rows = arrays(np.float32, (2, 3), elements=st.floats(0, 1, width=32))


def ask(**parameters: Any) -> tuple[Wanted, ...]:
    return read_outputs([{"name": "probabilities", "parameters": parameters}], all_binary=None)


@given(rows, st.integers(1, 5))
def test_the_most_probable_classes_come_first_with_their_value_index_and_label(found: np.ndarray, k: int) -> None:
    (tensor,) = compute(ask(classification=k), LABELS, found)
    assert (tensor.datatype, tensor.shape) == ("BYTES", [2, min(k, 3)])
    strings = [value.split(":", 2) for value in tensor.listed()]
    for row, best in zip(found, (strings[: len(strings) // 2], strings[len(strings) // 2 :]), strict=True):
        values = [np.float32(value) for value, _, _ in best]
        assert values == sorted(row.tolist(), reverse=True)[:k]
        assert [row[int(index)] for _, index, _ in best] == values
        assert [LABELS[int(index)] for _, index, _ in best] == [label for _, _, label in best]
        assert int(best[0][1]) == row.argmax()


@given(rows)
def test_classes_are_the_same_strings_in_binary_as_in_json(found: np.ndarray) -> None:
    bodies = [
        infer_answer(InferRequest([], ask(classification=2, binary_data=wanted)), "m", 1, LABELS, found)
        for wanted in (False, True)
    ]
    (plain,), binary = json.loads(bodies[0].body)["outputs"], bodies[1]
    head, rest = json.loads(binary.body[: binary.json_bytes])["outputs"], binary.body[binary.json_bytes :]
    assert (head[0]["datatype"], head[0]["shape"]) == (plain["datatype"], plain["shape"]) == ("BYTES", [2, 2])
    assert head[0]["parameters"] == {"binary_data_size": len(rest)}
    assert [each.decode() for each in read_strings(memoryview(rest), 4)] == plain["data"]


@pytest.mark.parametrize("value", [-1, 1.0, "2", True, None, [1]])
def test_a_number_of_classes_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="whole number"):
        ask(classification=value)


def test_only_probabilities_have_classes_to_rank() -> None:
    with pytest.raises(InputError, match="index has no classes"):
        read_outputs([{"name": "index", "parameters": {"classification": 1}}], all_binary=None)


def test_who_asks_for_nothing_in_particular_gets_everything() -> None:
    assert read_outputs(None, all_binary=None) == read_outputs([], all_binary=False) == ALL
    assert read_outputs(None, all_binary=True) == ALL_BINARY
    assert [wanted.output for wanted in ALL] == list(Output)
