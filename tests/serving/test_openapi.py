"""The endpoint's description is whole and true: a fuzzer driven by it finds nothing, and the page shows all of it."""

import asyncio
import copy
import re
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.door.door import Need
from serving.versions.dataplane import DataPlane
from serving.web.docs import load
from serving.web.openapi import document
from serving.web.rest import Rest
from serving.wire.outputs import Output
from serving.wire.pictures import DATATYPES, Pictures
from serving.wire.texts import Texts

PAGE = load().body.decode()
VERSION = "/versions/{version}"


class Four:
    """A model for pictures of four pixels."""

    name = "four"
    version = 1
    inputs = Pictures((1, 2, 2))
    labels = ("no", "yes")
    example_s = 0.0

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.tile(np.array([0.25, 0.75], np.float32), (len(images), 1))


class Letters(Four):
    """A model of texts."""

    name = "letters"
    inputs = Texts()  # type: ignore[assignment]


class Nothing:
    """A repository in which nothing changes."""

    async def load(self, name: str, version: int | None) -> None: ...
    async def unload(self, name: str, version: int | None) -> None: ...


def rest() -> Rest:
    plane = DataPlane()
    plane.serve(Four())
    plane.serve(Letters())
    return Rest(plane, Nothing())


def get(path: str) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(rest()), base_url="http://endpoint") as client:
            return await client.get(path)

    return asyncio.run(run())


# --- whole -------------------------------------------------------------------------------------------------------


def routes() -> Iterator[tuple[str, set[str], Need]]:
    """Every path the endpoint has, as OpenAPI writes it, with its methods and what it needs."""
    found = rest()
    for path, route in found._of_paths.items():
        yield path, set(route.methods), route.need
    for verb, route in found._of_models.items():
        end = f"/{verb}" if verb else ""
        if verb in ("load", "unload"):
            yield f"/v2/repository/models/{{model}}{end}", set(route.methods), route.need
        else:
            yield f"/v2/models/{{model}}{end}", set(route.methods), route.need
            yield f"/v2/models/{{model}}{VERSION}{end}", set(route.methods), route.need


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    described = {
        path: {method.upper() for method in item if method != "parameters"}
        for path, item in document()["paths"].items()
    }
    assert described == {path: methods for path, methods, _ in routes()}


def test_what_needs_no_key_is_said() -> None:
    for path, _, need in routes():
        for method in document()["paths"][path].keys() - {"parameters"}:
            operation = document()["paths"][path][method]
            statuses = operation["responses"].keys()
            assert (operation.get("security") == []) == (need is Need.OPEN), path
            assert ("401" in statuses, "403" in statuses) == (need is not Need.OPEN, need >= Need.FEEDBACK), path


def test_names_that_the_code_knows_are_those_of_the_document() -> None:
    schemas = document()["components"]["schemas"]
    assert set(schemas["Datatype"]["enum"]) == DATATYPES | {"BYTES"}
    assert schemas["RequestedOutput"]["properties"]["name"]["enum"] == list(Output)
    assert schemas["OutputTensor"]["properties"]["name"]["enum"] == list(Output)


def test_operation_ids_differ_and_every_reference_leads_somewhere() -> None:
    names = [
        operation["operationId"]
        for item in document()["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(set(names)) == len(names)
    references = re.findall(r"'#/components/(\w+)/([\w-]+)'", str(document()))
    assert len(references) > 50
    assert all(name in document()["components"][kind] for kind, name in references)


# --- true --------------------------------------------------------------------------------------------------------


def described() -> Any:
    """The document as served, for the two models that are there and one that is not."""
    content = copy.deepcopy(get("/openapi.json").json())
    content["components"]["parameters"]["model"]["schema"] = {"enum": ["four", "letters", "nobody"]}
    content["components"]["parameters"]["version"]["schema"] = {"enum": [1, 2]}
    schema = schemathesis.openapi.from_dict(content)
    schema.app = rest()
    return schema


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
SCHEMA = described()
SCHEMA.config.phases.coverage.enabled = False  # its cases by the thousand are for the long run below
WHOLE = described()


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]  # the schema is Any
@settings(max_examples=10)
def test_the_fuzzer_finds_no_fault_and_no_answer_that_is_not_described(case: Any) -> None:
    case.call_and_validate(checks=CHECKS)


@pytest.mark.slow
@pytest.mark.timeout(600)
@WHOLE.parametrize()  # type: ignore[untyped-decorator]  # the schema is Any
@settings(max_examples=300)
def test_the_fuzzer_finds_nothing_in_a_long_run(case: Any) -> None:
    case.call_and_validate(checks=CHECKS)


TENSORS = [
    {"name": "x", "shape": [1, 1, 2, 2], "datatype": "UINT8", "data": [1, 2, 3, 4]},
    {"name": "x", "shape": [1, 1, 2, 2], "datatype": "BOOL", "data": [[[[True, False], [True, True]]]]},
]


@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize(
    "outputs", [[], [{"name": "index"}], [{"name": "probabilities", "parameters": {"classification": 1}}]]
)
def test_good_requests_are_answered_as_described(tensor: dict[str, Any], outputs: list[Any]) -> None:
    case = SCHEMA["/v2/models/{model}/infer"]["POST"].Case(
        path_parameters={"model": "four"},
        body={"inputs": [tensor], "outputs": outputs, "id": "1"},
        media_type="application/json",
    )
    answer = case.call_and_validate(checks=CHECKS)
    assert answer.status_code == 200


# --- shown -------------------------------------------------------------------------------------------------------


def test_the_page_shows_every_operation_and_every_schema() -> None:
    for path, item in document()["paths"].items():
        for method in item.keys() & {"get", "post"}:
            assert f"<code>{method.upper()} {path}</code>" in PAGE
    for name in document()["components"]["schemas"]:
        assert f'id="schema-{name}"' in PAGE


def test_the_page_runs_no_script_and_loads_nothing_from_elsewhere() -> None:
    answer = get("/docs")
    assert (answer.status_code, answer.text) == (200, PAGE)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in policy
    assert not re.findall(r"<script|<link rel=\"style|\s(?:style|on\w+|src)=|//", PAGE.replace("<!doctype html>", ""))


def test_every_link_of_the_page_leads_somewhere() -> None:
    ids = re.findall(r'\bid="([\w-]+)"', PAGE)
    links = re.findall(r'href="#([\w-]+)"', PAGE) + re.findall(r'aria-labelledby="([\w-]+)"', PAGE)
    assert len(links) > 30
    assert set(links) <= set(ids)
    assert len(set(ids)) == len(ids)
