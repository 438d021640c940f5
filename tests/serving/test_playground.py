"""The page: whole, alone, and locked in by what the browser is told about it."""

import asyncio
import base64
import hashlib
import re

import httpx
import pytest

from serving.versions.dataplane import DataPlane
from serving.web.playground import load
from serving.web.rest import Rest

PAGE = load().body.decode()


def get(path: str, method: str = "GET") -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(Rest(DataPlane()))
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            return await client.request(method, path)

    return asyncio.run(run())


def policy() -> dict[str, str]:
    directives = get("/").headers["content-security-policy"].split("; ")
    return {name: value for name, _, value in (directive.partition(" ") for directive in directives)}


@pytest.mark.parametrize("path", ["/", "/playground"])
def test_the_page_is_there_even_before_any_model(path: str) -> None:
    answer = get(path)
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert get(path, "POST").status_code == 405


def test_the_browser_may_run_this_script_and_this_style_and_load_nothing_from_elsewhere() -> None:
    found = policy()
    for element in ("script", "style"):
        contents = re.findall(rf"<{element}>(.*?)</{element}>", PAGE, re.DOTALL)
        assert len(contents) == len(re.findall(rf"<{element}\b", PAGE)) == 1
        digest = base64.b64encode(hashlib.sha256(contents[0].encode()).digest()).decode()
        assert found[f"{element}-src"] == f"'sha256-{digest}'"
    assert found["default-src"] == "'none'"
    assert found["connect-src"] == "'self'"
    assert not {value for value in found.values() if "unsafe" in value or "http" in value}


def test_the_page_names_no_other_address_and_has_nothing_inline_that_would_be_blocked() -> None:
    assert "//" not in re.sub(r"<!doctype html>", "", PAGE)
    assert not re.findall(r"\s(?:style|on\w+)=", PAGE)


def test_what_a_server_or_a_person_said_is_only_ever_shown_as_text() -> None:
    assert PAGE.count("textContent") >= 10
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function", PAGE)


def test_every_control_has_a_label_and_every_id_that_is_used_exists_once() -> None:
    ids = re.findall(r'\bid="([\w-]+)"', PAGE)
    used = re.findall(r'\bat\("([\w-]+)"\)', PAGE) + re.findall(r'(?:for|aria-\w+by)="([\w-]+)"', PAGE)
    controls = re.findall(r'<(?:select|textarea|input)\b[^>]*\bid="([\w-]+)"', PAGE)
    assert len(used) >= 20
    assert set(used) <= set(ids)
    assert len(set(ids)) == len(ids)
    assert set(controls) == {"model", "text", "file", "secret"} == set(re.findall(r'<label for="([\w-]+)"', PAGE))
