"""The endpoint's description as a page: made from `openapi.document`, without a script, loading nothing."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from serving.web.openapi import document
from serving.web.page import Page, page

_SCHEMA = "#/components/schemas/"


@functools.cache
def load() -> Page:
    """The page."""
    content = document()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(files("serving.web").joinpath("docs.html").read_text(encoding="utf-8"))
    text = template.render(
        info=content["info"],
        tags=[{**tag, "operations": list(_operations(content, tag["name"]))} for tag in content["tags"]],
        schemas=[(name, json.dumps(each, indent=2)) for name, each in content["components"]["schemas"].items()],
        shown=_shown,
    )
    return page(text, "img-src data:")


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
