"""`raytune cluster`: exit codes, one JSON object, and text of a cluster that is text and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raytune_app.cli import cluster
from raytune_app.cli.main import main
from raytune_app.cluster import survey

ROOT = Path(__file__).parents[2]
LOCK = ["--lock", str(ROOT / "requirements.lock")]
Facts = dict[str, Any]


def test_a_right_file_is_told_with_what_is_left_to_fill_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "validate", str(ROOT / "cluster.yaml"), *LOCK]) == 0
    said = capsys.readouterr().out
    assert "is right" in said
    assert "still to fill in: line" in said
    assert "ray up" in said


def test_a_wrong_file_is_bad_input_and_each_mistake_has_its_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text((ROOT / "cluster.yaml").read_text().replace("CPU: 0", "CPU: 4").replace("chmod 600", "chmod 644"))
    assert main(["cluster", "validate", str(file), *LOCK, "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert len(said["mistakes"]) == 2
    assert all(each["remedy"] for each in said["mistakes"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["validate"], "a file belongs to validate"),
        (["check", "cluster.yaml"], "a file belongs to validate"),
        (["validate", "no-such.yaml"], "cannot be read"),
        (["check"], "which cluster?"),
        (["check", "--address", "nonsense"], "is no address"),
        (["check", "--address", "127.0.0.1:1"], "cannot connect to Ray"),
        (["check", "--address", "http://127.0.0.1:1"], "no Ray dashboard answers"),
    ],
)
def test_what_cannot_be_done_is_bad_input_with_a_remedy(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert main(["cluster", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 2


def _node(name: str, error: str | None) -> Facts:
    return {"id": name, "name": name, "address": "10.0.0.1", "head": False, "error": error, "resources": {"CPU": 2}}


@pytest.mark.parametrize(("facts", "code"), [({"open": True}, 1), ({}, 0)])
def test_the_exit_code_says_whether_something_is_wrong(
    facts: Facts, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "_facts", lambda *_, **__: {**survey.closed(is_open=False), **facts})
    assert main(["cluster", "check", "--address", "http://head:8265", "--json"]) == code
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], len(said["findings"])) == (code == 0, code)


def test_names_and_errors_of_a_cluster_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {**survey.closed(is_open=False), "nodes": [_node("[red]n", "[link=x]broken")]}
    monkeypatch.setattr(cluster, "_facts", lambda *_, **__: facts)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["cluster", "check", "--address", "http://head:8265"]) == 1
    said = capsys.readouterr().out
    assert "[red]n" in said
    assert "[link=x]broken" in said
