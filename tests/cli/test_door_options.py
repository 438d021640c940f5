"""The verb key and the options about the door: what is printed, kept and refused before anything starts."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from raytune_app.cli.main import main
from raytune_app.endpoint.keys import digest, read_keys
from raytune_app.registry import Draft, Registry
from raytune_app.storage import Storage


def test_a_key_is_printed_once_and_kept_as_its_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys"
    assert main(["key", "new", "--file", str(file), "--name", "phone", "--rate", "5/s", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (kept,) = read_keys(file)
    assert (kept.name, kept.scope, kept.rate, kept.sha256) == ("phone", "infer", "5/s", digest(printed["key"]))
    assert main(["key", "new", "--file", str(file), "--name", "phone"]) == 2
    assert "phone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "--api-keys"),  # noqa: S104  # what is refused
        (["--api-keys", "/none/keys"], "does not exist"),
        (["--tls-cert", "/none/cert"], "--tls-key"),
        (["--timeout", "0"], "timeout"),
    ],
)
def test_a_door_that_would_not_hold_is_refused_before_ray_starts(
    options: list[str],
    said: str,
    tmp_path: Path,
    make_draft: Callable[..., Draft],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from raytune_app import cluster

    def start(*_: object, **__: object) -> None:
        pytest.fail("Ray was started")

    monkeypatch.setattr(cluster, "connect", start)
    Registry(Storage(str(tmp_path))).register("mnist", make_draft())
    assert main(["serve", "mnist@1", "--storage", str(tmp_path), *options]) == 2
    assert said in capsys.readouterr().err
