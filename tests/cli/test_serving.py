"""`raytune serving`: what the endpoint does, for people and for machines."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import numpy as np
import pytest

from raytune_app.cli.main import main
from serving.versions.dataplane import DataPlane
from serving.web.rest import Rest
from serving.wire.pictures import Pictures

Listening = Callable[[Any], AbstractContextManager[str]]


class Level:
    name = "level"
    version = 4
    inputs = Pictures((1, 1, 1))
    labels = ("dark", "bright")
    example_s = 0.0

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.tile(np.array([0.25, 0.75], np.float32), (len(images), 1))


@pytest.fixture
def url(listening: Listening) -> Iterator[str]:
    plane = DataPlane()
    plane.serve(Level())
    with listening(Rest(plane)) as url:
        for _ in range(3):
            headers = {"content-type": "application/octet-stream"}
            assert httpx.post(f"{url}/v2/models/level/classify", content=b"x", headers=headers).status_code == 200
        yield url


def test_once_it_prints_a_table(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert main(["serving", "--url", url, "--once", "--every", "0.1"]) == 0
    out = capsys.readouterr().out
    for words in (url, "req/s", "p99 ms", "level", "champion", "100%"):
        assert words in out


def test_machines_get_one_object(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serving", "--url", url, "--json", "--every", "0.1"]) == 0
    content = json.loads(capsys.readouterr().out)
    (row,) = content["versions"]
    assert (content["url"], row["model"], row["version"], row["requests"]) == (url, "level", "4", 3)
    assert row["p99_ms"] > 0


def test_on_a_terminal_it_goes_on_until_it_is_interrupted_and_survives_an_endpoint_that_is_away(
    listening: Listening, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plane, looks = DataPlane(), list[float]()
    plane.serve(Level())
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with listening(Rest(plane)) as url:

        def sleep(seconds: float) -> None:
            looks.append(seconds)
            if len(looks) == 2:
                monkeypatch.setattr(httpx.Client, "request", away)
            if len(looks) == 4:
                raise KeyboardInterrupt

        def away(*args: object, **more: object) -> httpx.Response:
            raise httpx.ConnectError("away")

        monkeypatch.setattr("raytune_app.cli.serving.time.sleep", sleep)
        assert main(["serving", "--url", url, "--every", "0.5"]) == 0
    assert looks == [0.5] * 4
    assert "trying again" in capsys.readouterr().out


def test_nobody_there_is_an_error_with_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serving", "--url", "http://127.0.0.1:9", "--once"]) == 1
    assert "raytune serve MODEL" in capsys.readouterr().err


def test_another_service_is_not_taken_for_an_endpoint(listening: Listening, capsys: pytest.CaptureFixture[str]) -> None:
    async def other(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"<!doctype html>\n"})

    with listening(other) as url:
        assert main(["serving", "--url", url, "--once"]) == 1
    assert "is not an endpoint of raytune" in capsys.readouterr().err
