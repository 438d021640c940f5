"""Who watches requests is off unless asked for, and what cannot work is said before anything starts."""

import argparse
from pathlib import Path

import pytest

from raytune_app.cli import watching as module
from raytune_app.cli.watching import add_options, watching
from raytune_app.errors import InputError


def parsed(*words: str, **environ: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return watching(parser.parse_args(words), environ)


def test_everything_is_off_unless_asked_for() -> None:
    assert parsed() == {}


def test_a_request_log_is_whole_unless_a_sample_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = str(tmp_path / "requests.jsonl")
    assert parsed("--request-log", "requests.jsonl") == {"request_log": file, "sample": 1.0}
    found = parsed("--request-log", file, "--sample", "0.01", "--log-inputs")
    assert found == {"request_log": file, "sample": 0.01, "log_inputs": True}


def test_what_the_replica_gets_is_what_it_takes(tmp_path: Path) -> None:
    from raytune_app.endpoint.plan import Plan
    from raytune_app.rollout.traffic import Traffic
    from serving.versions.replica import Arguments

    watch = parsed("--request-log", str(tmp_path / "log"), "--otlp-endpoint", "http://collector:4318")
    plan = Plan({"mnist": Traffic(champion=1)}, "somewhere", watching=watch)
    arguments = Arguments.model_validate(plan.config()["applications"][0]["args"])
    assert arguments.watching.request_log == str(tmp_path / "log")
    assert arguments.watching.otlp == "http://collector:4318/v1/traces"


@pytest.mark.parametrize(
    "words",
    [
        ["--sample", "0.5"],
        ["--log-inputs"],
        ["--request-log", "/no/such/folder/file"],
        ["--request-log", "."],
        ["--otlp-endpoint", "collector:4318"],
        ["--otlp-endpoint", "file:///etc"],
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parsed(*words)
    assert caught.value.remedy


@pytest.mark.parametrize("share", ["0", "1.5", "-1", "nan"])
def test_a_share_is_over_0_and_at_most_1(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--request-log", "file", "--sample", share)
    assert "over 0 and at most 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1/"}, "http://a:1/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a:1/other"}, "http://a:1/other"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_opentelemetrys_own_variables_count(environ: dict[str, str], expected: str | None) -> None:
    assert parsed(**environ).get("otlp") == expected
    assert parsed("--otlp-endpoint", "https://b:2", **environ)["otlp"] == "https://b:2/v1/traces"


def test_without_the_exporter_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPORTER", "opentelemetry.no_such.exporter")
    with pytest.raises(InputError) as caught:
        parsed("--otlp-endpoint", "http://a:1")
    assert "pip install" in str(caught.value.remedy)
