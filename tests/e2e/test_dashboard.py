"""What Ray's dashboard, its state API and its metrics endpoint show of a study while it runs."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from raytune_app.tuning.metrics import MEASURES, Kind
from tests.e2e.ray_nodes import RayNodes

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(180)]

DEADLINE_S = 90.0
TRAINING = """
import time
from pathlib import Path


def train(context):
    yield {"score": context.params["level"], "examples_per_s": 10.0}
    deadline = time.monotonic() + 80
    while not Path(context.params["go"]).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    yield {"score": context.params["level"] + 1, "examples_per_s": 10.0}
"""


@dataclass(frozen=True)
class Shown:
    """What was seen while two trials trained their second epoch.

    Attributes:
        samples: of the metrics endpoint, by name, those of this study: its labels and its value.
        actors, titles, jobs: as the dashboard's own page asks for them; titles are of the workers' processes.
    """

    study: str
    samples: dict[str, list[tuple[dict[str, str], float]]]
    actors: list[dict[str, Any]]
    titles: list[str]
    jobs: list[dict[str, Any]]


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with RayNodes(head_cpus=2) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def shown(nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "waiting.py").write_text(TRAINING)
    (folder / "watched.yaml").write_text(yaml.safe_dump(_experiment(folder / "go")))
    command = [sys.executable, "-m", "raytune_app", "run", "watched.yaml", "--address", nodes.address]
    environment = {**nodes.environment, "PYTHONPATH": _root(), "RAYTUNE_STORAGE": str(folder / "storage")}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT, env=environment)
    try:
        study = _until(lambda: _both_wait(folder / "storage"), process, folder / "said")
        _until(lambda: len(_samples(nodes, study)) == len(MEASURES), process, folder / "said")
        seen = Shown(study, _samples(nodes, study), *_dashboard(nodes, study))
        (folder / "go").touch()
        process.wait(DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, (folder / "said").read_text()
    return seen


def _experiment(go: Path) -> dict[str, Any]:
    return {
        "name": "watched",
        "data": {"name": "mnist", "train_limit": 200},
        "trial": "waiting:train",
        "params": {"level": {"grid": [1.0, 2.0]}, "go": str(go)},
        "objective": {"metric": "score", "mode": "max"},
        "search": {"name": "grid"},
        "train": {"epochs": 2},
        "resources": {"concurrent": 2},
    }


def _root() -> str:
    return str(Path(__file__).parents[2])


def _until(look: Any, process: "subprocess.Popen[bytes]", said: Path) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not seen in time; exit code {process.poll()}: {said.read_text()}")


def _both_wait(storage: Path) -> str | None:
    """The study's id, once both trials have reported their first epoch."""
    for log in storage.glob("studies/*/events.jsonl"):
        if log.read_text().count('"event": "epoch"') == 2:
            return log.parent.name
    return None


def _samples(nodes: RayNodes, study: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """From where Ray tells Prometheus to look."""
    told = [json.loads(file.read_text()) for file in nodes.folder.glob("*/prom_metrics_service_discovery.json")]
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for target in {target for groups in told for group in groups for target in group["targets"]}:
        try:
            text = httpx.get(f"http://{target}/metrics").text
        except httpx.HTTPError:  # one whose agent has not begun to listen
            continue
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.labels.get("study") == study:
                    found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _dashboard(nodes: RayNodes, study: str) -> tuple[list[dict[str, Any]], list[str], list[dict[str, Any]]]:
    deadline = time.monotonic() + DEADLINE_S
    titles: list[str] = []
    while time.monotonic() < deadline and sum(study in title for title in titles) < 2:
        (node,) = nodes.get("/nodes?view=summary").json()["data"]["summary"]
        detail = nodes.get(f"/nodes/{node['raylet']['nodeId']}").json()["data"]["detail"]
        titles = [worker["cmdline"][0] for worker in detail["workers"]]
        time.sleep(0.2)
    listed = nodes.get("/api/v0/actors?detail=true&limit=1000").json()["data"]["result"]["result"]
    actors = [actor for actor in listed if study in (actor["repr_name"] or "")]
    return actors, titles, nodes.get("/api/jobs/").json()


def test_every_metric_is_at_the_nodes_endpoint(shown: Shown) -> None:
    assert set(shown.samples) == {measure.exported for measure in MEASURES}
    values = {name: samples[0][1] for name, samples in shown.samples.items() if len(samples) == 1}
    assert values["ray_raytune_epochs_total"] == 2
    assert values["ray_raytune_best_score"] == 2.0
    assert values["ray_raytune_examples_per_second"] == 20.0
    states = {labels["state"]: value for labels, value in shown.samples["ray_raytune_trials"]}
    assert states["running"] == 2
    assert sum(states.values()) == 2


def test_a_slot_is_named_after_its_study_and_its_process_after_the_trial(shown: Shown) -> None:
    assert sorted(actor["repr_name"] for actor in shown.actors) == sorted(
        f"{shown.study}/slot-{actor['pid']}" for actor in shown.actors
    )
    assert {actor["class_name"] for actor in shown.actors} == {"TrialTrainable"}
    for trial in ("trial-00000", "trial-00001"):
        assert f"ray::{shown.study}/{trial}" in shown.titles


def test_the_job_says_what_it_works_on(shown: Shown) -> None:
    told = [job["metadata"] for job in shown.jobs if job["metadata"].get("experiment") == "watched"]
    assert [sorted(metadata) for metadata in told] == [["experiment", "raytune", "user"]]


def test_gauges_of_a_study_that_has_ended_are_gone(shown: Shown, nodes: RayNodes) -> None:
    gauges = {measure.exported for measure in MEASURES if measure.kind is Kind.GAUGE}
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and gauges & set(left := _samples(nodes, shown.study)):
        time.sleep(1)
    assert not gauges & set(left), json.dumps(sorted(left))
