"""What a classifier answers with: its output tensors, and how each is written in JSON and in bytes.

The classification extension turns the probabilities into the k most probable classes, as strings `value:index:label`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytune_app.errors import InputError
from serving.wire import binary

CLASSES = "classification"
"""The parameter of an output that asks for its k most probable classes instead."""


class Output(StrEnum):
    """What a classifier answers, in the order of an answer that asks for nothing in particular."""

    PROBABILITIES = "probabilities"
    INDEX = "index"
    LABEL = "label"


DATATYPES = {Output.PROBABILITIES: "FP32", Output.INDEX: "INT64", Output.LABEL: "BYTES"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that a request asks for.

    Attributes:
        binary: as bytes behind the JSON.
        classes: its most probable classes, so many; 0: the output itself.
    """

    output: Output
    binary: bool = False
    classes: int = 0


ALL = tuple(map(Wanted, Output))
ALL_BINARY = tuple(Wanted(output, binary=True) for output in Output)


@dataclass(frozen=True, slots=True)
class Computed:
    """One output tensor; `values` are numbers of any shape, or strings in row-major order."""

    name: Output
    datatype: str
    shape: list[int]
    values: NDArray[Any] | list[str]

    def listed(self) -> list[Any]:
        """The values for JSON, flat; reading a number back gives the same bits."""
        return self.values if isinstance(self.values, list) else list(self.values.ravel().tolist())

    def octets(self) -> bytes:
        """The values as the binary extension and gRPC have them."""
        if isinstance(self.values, list):
            return binary.write_strings([value.encode() for value in self.values])
        return self.values.astype("<f4" if self.datatype == "FP32" else "<i8").tobytes()


def read_outputs(value: Any, *, all_binary: bool | None) -> tuple[Wanted, ...]:
    """The outputs a request lists, or all of them if it lists none.

    Args:
        all_binary: what the request says of all its outputs; an output's own word wins.

    Raises:
        InputError: not a list, an unknown output, or a parameter of another type.
    """
    if value is None or value == []:
        return ALL_BINARY if all_binary else ALL
    known = f"the outputs are {', '.join(Output)}"
    if not isinstance(value, list) or len(value) > len(Output):
        raise InputError("'outputs' must be a list that names each output once", known)
    try:
        named = {Output(each["name"]): each.get("parameters") for each in value}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError("'outputs' names an output that this model does not have", known) from error
    return tuple(_wanted(output, parameters, all_binary=all_binary) for output, parameters in named.items())


def compute(wanted: Sequence[Wanted], labels: Sequence[str], probabilities: NDArray[np.float32]) -> list[Computed]:
    """The outputs asked for, of `probabilities` [N, K]."""
    index = probabilities.argmax(axis=1)
    return [_computed(each, labels, probabilities, index) for each in wanted]


def flag(parameters: Any, name: str) -> bool | None:
    """A parameter that is true or false, None if it is not there. Raises InputError."""
    value = parameters.get(name) if isinstance(parameters, Mapping) else None
    if value is None or isinstance(value, bool):
        return value
    raise InputError(f"the parameter {name!r} must be true or false", "see the Open Inference Protocol v2")


def _wanted(output: Output, parameters: Any, *, all_binary: bool | None) -> Wanted:
    own = flag(parameters, "binary_data")
    classes = parameters.get(CLASSES, 0) if isinstance(parameters, Mapping) else 0
    if type(classes) is not int or classes < 0:
        raise InputError(f"the parameter {CLASSES!r} must be a whole number", "send how many classes you want")
    if classes and output is not Output.PROBABILITIES:
        raise InputError(
            f"the output {output.value} has no classes to rank", f"ask for those of {Output.PROBABILITIES}"
        )
    return Wanted(output, bool(all_binary if own is None else own), classes)


def _computed(
    wanted: Wanted, labels: Sequence[str], probabilities: NDArray[np.float32], index: NDArray[np.intp]
) -> Computed:
    if wanted.classes:
        return _ranked(wanted, labels, probabilities)
    output, rows = wanted.output, len(index)
    match output:
        case Output.PROBABILITIES:
            return Computed(output, DATATYPES[output], list(probabilities.shape), probabilities)
        case Output.INDEX:
            return Computed(output, DATATYPES[output], [rows], index)
        case Output.LABEL:
            return Computed(output, DATATYPES[output], [rows], [labels[i] for i in index])


def _ranked(wanted: Wanted, labels: Sequence[str], probabilities: NDArray[np.float32]) -> Computed:
    """Equal probabilities keep the order of the labels, so that the first is the one `index` names."""
    count = min(wanted.classes, len(labels))
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    strings = [
        f"{value}:{i}:{labels[i]}"
        for row, best in zip(probabilities, order, strict=True)
        for i, value in zip(best.tolist(), row[best], strict=True)
    ]
    return Computed(wanted.output, "BYTES", [len(order), count], strings)
