"""The verbs of the README as processes, on one storage: run, show, models, predict, serve, evaluate."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from raytune_app.data.arrays import Arrays
from raytune_app.data.catalog import load_test
from raytune_app.endpoint.client import Endpoint
from raytune_app.endpoint.plan import check_port
from raytune_app.spec.grammar import DataSpec

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

DEADLINE_S = 120.0


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "raytune_app", *arguments]


def _raytune(*arguments: str, cwd: Path | None = None) -> dict[str, Any]:
    done = subprocess.run(
        _command(*arguments, "--json"), capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("storage"))


@pytest.fixture(scope="module")
def study(storage: str) -> dict[str, Any]:
    return _raytune("run", "experiments/smoke.yaml", "--storage", storage)


@pytest.fixture(scope="module")
def digit(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("pictures") / "seven.png"
    test = load_test(DataSpec(name="mnist"))
    assert isinstance(test, Arrays)
    Image.fromarray(test.images[0, 0]).save(file)
    return str(file)


@pytest.fixture(scope="module")
def served(study: dict[str, Any], storage: str) -> Iterator[str]:
    """A `raytune serve` in a session of its own, ended as a terminal ends it: Ctrl-C to the whole group."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        _command("serve", "smoke", "--port", str(port), "--storage", storage),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process)
        started = psutil.Process(process.pid).children(recursive=True)
        yield f"http://127.0.0.1:{port}"
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=DEADLINE_S)[0]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    assert started
    assert not psutil.wait_procs(started, timeout=20)[1], "processes are left behind"
    check_port(port)


def _wait_until_ready(url: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + DEADLINE_S
    with Endpoint(url) as endpoint:
        while process.poll() is None and time.monotonic() < deadline:
            if endpoint.ready("smoke"):
                return
            time.sleep(0.2)
    raise AssertionError("the endpoint is not ready")


def test_a_run_ends_with_a_scored_winner_and_a_registered_champion(study: dict[str, Any], storage: str) -> None:
    assert study["winner"]["test"]["n"] == 10_000
    assert study["winner"]["test"]["accuracy"] > 0.7
    assert _raytune("show", "smoke", "--storage", storage)["winner"] == study["winner"]
    assert (Path(study["folder"]) / "report.html").stat().st_size > 100_000
    assert len(list(Path(study["folder"]).glob("tensorboard/*/events.*"))) == 4
    assert "smoke" in json.dumps(_raytune("models", "--storage", storage))


def test_predict_answers_without_an_endpoint(study: dict[str, Any], storage: str, digit: str) -> None:
    answer = json.dumps(_raytune("predict", "smoke", digit, "--storage", storage))
    assert '"label": "7"' in answer


def test_the_endpoint_answers_as_the_study_scored(study: dict[str, Any], served: str, storage: str, digit: str) -> None:
    evaluation = _raytune("evaluate", "smoke", "--url", served, "--storage", storage)
    assert evaluation["test"]["confusion"] == study["winner"]["test"]["confusion"]
    assert '"label": "7"' in json.dumps(_raytune("predict", "smoke", digit, "--url", served, "--storage", storage))
