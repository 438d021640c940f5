"""The Grafana dashboard that is committed is the one that is made, and every metric it names exists."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families
from ray._private import ray_constants

from deploy.grafana.dashboard import FILE, SCHEMA, to_json
from raytune_app.tuning.metrics import MEASURES
from serving.watch.metrics import exposition

_NAME = re.compile(r"\b(?:ray|raytune)_\w+")
_RAY = Path(ray.__file__).parent


def _made() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))


def _panels() -> list[dict[str, Any]]:
    return [panel for panel in _made()["panels"] if panel["type"] != "row"]


def _expressions() -> list[str]:
    asked = [target["expr"] for panel in _panels() for target in panel["targets"]]
    return asked + [each["query"] for each in _made()["templating"]["list"] if each["type"] == "query"]


def _named() -> set[str]:
    return {name for expression in _expressions() for name in _NAME.findall(expression)}


def _of_the_endpoint() -> Iterator[str]:
    for family in text_string_to_metric_families(exposition([]).decode()):
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        yield from (family.name + ending for ending in endings)


def test_the_committed_file_is_what_is_made() -> None:
    assert FILE.read_text(encoding="utf-8") == to_json(), "run `make grafana`"


def test_grafanas_own_types_read_it_whole() -> None:
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(_made())))
    assert read == _made()
    assert read["schemaVersion"] == SCHEMA


def test_our_metrics_all_have_a_chart() -> None:
    ours = {measure.exported for measure in MEASURES}
    assert ours <= _named()


def test_every_metric_of_a_study_or_an_endpoint_exists() -> None:
    known = {measure.exported for measure in MEASURES} | set(_of_the_endpoint())
    named = {name for name in _named() if name.startswith(("raytune_", "ray_raytune_"))}
    assert len(named) > len(MEASURES)
    assert not named - known


@pytest.mark.parametrize(
    ("prefix", "source"), [("ray_serve_", "serve"), ("ray_node_", "dashboard/modules/reporter/reporter_agent.py")]
)
def test_every_metric_of_ray_is_one_that_ray_makes(prefix: str, source: str) -> None:
    place = _RAY / source
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    strings = {text for file in files for text in re.findall(r'"(\w+)"', file.read_text(encoding="utf-8"))}
    named = {name for name in _named() if name.startswith(prefix)}
    missing = {
        name
        for name in named
        for own in [name.removeprefix("ray_")]
        if not {own, own.removesuffix("_total"), own.removesuffix("_bucket")} & strings
    }
    assert len(named) >= 4
    assert not missing


def test_prometheus_looks_where_ray_and_the_endpoint_put_them() -> None:
    cluster, endpoint = yaml.safe_load(FILE.with_name("prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    (file,) = cluster["file_sd_configs"][0]["files"]
    assert Path(file).name == ray_constants.PROMETHEUS_SERVICE_DISCOVERY_FILE
    assert endpoint["metrics_path"] == "/metrics"


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    made = _made()["panels"]
    assert len({panel["id"] for panel in made}) == len(made)
    taken = [
        (x, y)
        for panel in made
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def test_every_panel_says_what_it_shows_and_asks_the_chosen_source() -> None:
    for panel in _panels():
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${source}"
        assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])
