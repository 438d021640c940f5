"""The endpoint's description as a page: made from `openapi.document`, without a script, loading nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from serving.web.openapi import document
from serving.web.playground import Page

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_SCHEMA = "#/components/schemas/"


@functools.cache
def load() -> Page:
    """The page; the browser may use its style and nothing else that could get into it."""
    content = document()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(files("serving.web").joinpath("docs.html").read_text(encoding="utf-8"))
    text = template.render(
        info=content["info"],
        tags=[{**tag, "operations": list(_operations(content, tag["name"]))} for tag in content["tags"]],
        schemas=[(name, json.dumps(each, indent=2)) for name, each in content["components"]["schemas"].items()],
        shown=_shown,
    )
    style = base64.b64encode(hashlib.sha256(_STYLE.findall(text)[0].encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    headers = (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )
    return Page(text.encode(), headers)


def _operations(content: Mapping[str, Any], tag: str) -> Iterator[dict[str, Any]]:
    for path, item in content["paths"].items():
        shared = item.get("parameters", [])
        for method in ("get", "post"):
            operation = item.get(method, {"tags": []})
            if tag in operation["tags"]:
                parameters = [_resolved(content, each) for each in (*shared, *operation.get("parameters", []))]
                yield {
                    "id": operation["operationId"],
                    "method": method.upper(),
                    "path": path,
                    "summary": operation["summary"],
                    "description": operation.get("description"),
                    "parameters": [{"required": False, **each} for each in parameters],
                    "takes": _contents(operation.get("requestBody", {})),
                    "answers": [(s, a["description"], _contents(a)) for s, a in operation["responses"].items()],
                }


def _contents(body: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(media, each["schema"]) for media, each in body.get("content", {}).items()]


def _resolved(content: Mapping[str, Any], reference: Mapping[str, str]) -> dict[str, Any]:
    return dict(content["components"]["parameters"][reference["$ref"].rpartition("/")[2]])


def _shown(schema: Mapping[str, Any]) -> Markup:
    """Links to the schemas it is made of."""
    names = re.findall(rf'"{_SCHEMA}(\w+)"', json.dumps(schema))
    links = [Markup('<a href="#schema-{0}">{0}</a>').format(name) for name in names]
    return Markup(": ") + Markup(" or ").join(links) if links else Markup("")
