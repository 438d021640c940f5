"""The endpoint's description of itself: `openapi.yaml`, written by hand, made whole; a page shows the same."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import yaml

from raytune_app import __version__

_OPTIONAL = "[/versions/{version}]"
EVERYWHERE = (405, 500)
"""What any path may answer."""

REASONS = {
    400: "What was sent cannot be used; says what was expected",
    401: "An API key is needed, or this one is not known",
    403: "Who asks may not do this",
    404: "No such model or version",
    405: "Another method; Allow names those there are",
    408: "The body did not come in time",
    413: "Over a limit, which is named",
    415: "Bytes of a kind that is not accepted",
    429: "This API key asks too often; Retry-After says when again",
    500: "Internal error; the request_id says which",
    503: "Not ready, or too much at once; Retry-After says when again",
    504: "The answer was not there in time",
}

Operation = dict[str, Any]


@functools.cache
def document() -> dict[str, Any]:
    """The whole OpenAPI document; not to be changed."""
    source = yaml.safe_load(files("serving.web").joinpath("openapi.yaml").read_text(encoding="utf-8"))
    source["info"]["version"] = __version__
    source["paths"] = {
        path: {"parameters": parameters, **methods} if parameters else methods
        for written, operations in source["paths"].items()
        for path, parameters, methods in _paths(written, operations)
    }
    return dict(source)


def _paths(written: str, operations: dict[str, Operation]) -> Iterator[tuple[str, list[Any], dict[str, Operation]]]:
    """A path, or two where the version may be left out; their parameters; their operations by method."""
    forms = [(written.replace(_OPTIONAL, ""), "")]
    if _OPTIONAL in written:
        forms.append((written.replace(_OPTIONAL, _OPTIONAL.strip("[]")), "OfVersion"))
    for path, suffix in forms:
        parameters = [_ref("parameters", name) for name in ("model", "version") if f"{{{name}}}" in path]
        methods = {method: _operation(each, suffix) for method, each in operations.items()}
        if "get" in methods:
            methods["head"] = {**methods["get"], "operationId": f"{methods['get']['operationId']}Head"}
        yield path, parameters, methods


def _operation(written: Operation, suffix: str) -> Operation:
    operation = copy.deepcopy(written)
    operation["operationId"] += suffix
    answers = operation.pop("answers", None)
    if operation.pop("page", False):
        answers = {"text/html": {"schema": {"type": "string"}}}
    if answers is None:
        answers = {"application/json": {"schema": operation.pop("answer")}}
    headers = {"X-Request-Id": _ref("headers", "X-Request-Id")}
    errors = sorted([*operation.pop("errors", []), *EVERYWHERE])
    operation["responses"] = {
        "200": {"description": "The answer", "headers": headers, "content": answers},
        **{str(status): _error(status) for status in errors},
    }
    return operation


def _error(status: int) -> dict[str, Any]:
    return {"description": REASONS[status], "content": {"application/json": {"schema": _ref("schemas", "Error")}}}


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}
