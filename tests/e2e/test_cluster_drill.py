"""All that can befall a study, one after the other, while the model of an earlier one is asked all the time."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from raytune_app.jobs.client import connect_jobs
from raytune_app.registry import Registry
from raytune_app.storage import Storage
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.liveness import read_status
from tests.e2e.cluster_life import Laptop, check_nothing_was_lost, driver, kinds
from tests.e2e.ray_nodes import RayNodes, free_port

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(560)]

EPOCHS = 60
ROOT = Path(__file__).parents[2]


class Asker(threading.Thread):
    """Asks the endpoint again and again and keeps what went wrong."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = f"{url}/v2/models/smoke/infer"
        self._over = threading.Event()
        self.asked, self.failures, self.versions = 0, list[str](), set[str]()

    def run(self) -> None:
        tensor = {"name": "image", "shape": [1, 1, 28, 28], "datatype": "UINT8", "data": [0] * 784}
        with httpx.Client(timeout=30) as client:
            while not self._over.wait(0.05):
                self.asked += 1
                try:
                    answer = client.post(self._url, json={"inputs": [tensor]})
                    answer.raise_for_status()
                    self.versions.add(answer.json()["model_version"])
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))

    def stop(self) -> None:
        self._over.set()
        self.join(timeout=60)


@contextmanager
def _served(laptop: Laptop) -> Iterator[Asker]:
    """The model of the first study, by `raytune serve` with a Ray of its own, and somebody who asks it."""
    port = free_port()
    own = {name: value for name, value in laptop.nodes.environment.items() if not name.startswith("RAY_AUTH_MODE")}
    command = [sys.executable, "-m", "raytune_app", "serve", "smoke", "--port", str(port)]
    with (laptop.home / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--storage", laptop.storage.uri], env=own, cwd=ROOT, stdout=log, stderr=log
        )
    asker = Asker(f"http://127.0.0.1:{port}")
    try:
        laptop.until(lambda: _is_ready(port), f"the endpoint: {(laptop.home / 'serve.log').read_text()}")
        asker.start()
        yield asker
    finally:
        if asker.is_alive():
            asker.stop()
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        for child in children:
            if child.is_running():
                child.kill()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/models/smoke/ready", timeout=5).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laptop]:
    with RayNodes() as nodes:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(nodes.token_file))
        yield Laptop(nodes, tmp_path, Storage(str(tmp_path / "shared")))


def _experiment(laptop: Laptop, **changes: object) -> Path:
    content = yaml.safe_load((ROOT / "experiments" / "smoke.yaml").read_text())
    path = laptop.home / "spec.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}))
    return path


def test_whatever_befalls_the_cluster_nothing_is_lost_and_the_model_answers(laptop: Laptop) -> None:
    nodes = laptop.nodes
    first, second = (nodes.add_worker(cpus=1) for _ in range(2))
    code = laptop.code("none")
    laptop.ended(laptop.submit(_experiment(laptop), code))
    assert Registry(laptop.storage).aliases("smoke") == {"champion": 1}
    with _served(laptop) as asker:
        changes = {"scheduler": {"name": "fifo"}, "trials": 2}
        train = {"epochs": EPOCHS, "batch_size": 5, "lr": {"loguniform": [1.0e-3, 1.0e-2]}, "speed": "plain"}
        study = laptop.submit(_experiment(laptop, **changes, train=train), code)
        _goes_on(laptop, study, 2)
        nodes.kill(second)
        _goes_on(laptop, study, 2)
        driver(study).send_signal(signal.SIGKILL)
        _goes_on(laptop, study, 2)
        connect_jobs(nodes.url).stop_job(study.study)
        laptop.ended(study, "stopped")
        laptop.raytune("resume", study.study, "--address", nodes.url)
        _goes_on(laptop, study, 2)
        for name in ("head", first):
            nodes.kill(name)
        nodes.start_head()
        for _ in range(2):
            nodes.add_worker(cpus=1)
        laptop.raytune("resume", study.study, "--address", nodes.url)
        _goes_on(laptop, study, 2)
        laptop.raytune("stop", study.study)
        laptop.raytune("resume", study.study, "--address", nodes.url)
        _goes_on(laptop, study, 2)
        laptop.ended(study)
        laptop.until(lambda: "2" in asker.versions, "the new champion answers")
        asker.stop()
    check_nothing_was_lost(study, trials=2, epochs=EPOCHS)
    assert asker.failures == [] and asker.asked > 100
    assert asker.versions == {"1", "2"}


def _goes_on(laptop: Laptop, study: StudyFolder, checkpoints: int) -> None:
    """Until so many more epochs are saved."""
    before = len(kinds(study, "checkpoint"))
    laptop.until(lambda: len(kinds(study, "checkpoint")) >= before + checkpoints, "epochs are saved")


def test_a_study_waits_for_nodes_that_an_autoscaler_may_start(tmp_path: Path) -> None:
    growth = '[{"count": 1, "resources": {"CPU": 2}}]'
    with RayNodes({"RAYTUNE_GROWTH": growth}) as nodes:
        laptop = Laptop(nodes, tmp_path, Storage(str(tmp_path / "shared")))
        study = laptop.submit(laptop.spec("early", trials=2, train={"epochs": 2}), laptop.code("only"))

        def waiting() -> list[str]:
            return [one["why"] for one in (read_status(study) or {}).get("waiting", [])]

        laptop.until(waiting, "somebody waits")
        assert set(waiting()) == {"no node that is there has 1 CPU; it waits for one that has"}
        nodes.add_worker(cpus=2)
        laptop.ended(study)
        check_nothing_was_lost(study, trials=2, epochs=2)
