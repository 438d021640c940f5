"""The command line's contract: exit codes, one-line errors, JSON, speed of what needs no torch."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raytune_app.cli.main import build_parser, main
from raytune_app.registry import Draft, Registry
from raytune_app.storage import Storage

SMOKE = "experiments/smoke.yaml"
MakeDraft = Callable[..., Draft]


def test_check_prints_the_resolved_experiment_which_checks_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", SMOKE, "--set", "train.epochs=5"]) == 0
    resolved = capsys.readouterr().out.split("next:")[0]
    (tmp_path / "resolved.yaml").write_text(resolved)
    assert main(["check", str(tmp_path / "resolved.yaml")]) == 0
    assert capsys.readouterr().out.split("next:")[0] == resolved
    assert "epochs: 5" in resolved and "beta2: 0.999" in resolved


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", SMOKE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "smoke"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "no-such-file.yaml"], "no-such-file.yaml"),
        (["check", SMOKE, "--set", "train.lr"], "a.b=c"),
        (["check", SMOKE, "--set", "train.optimizer=adma"], "did you mean 'adam'"),
        (["run", SMOKE, "--set", "name=../up"], "name"),
        (["show", "nothing"], "no study 'nothing'"),
        (["show", "../up"], "not allowed"),
        (["report", "nothing"], "no study"),
        (["promote", "nothing@1"], "no model"),
        (["serve", "nothing"], "no model"),
        (["predict", "nothing", "x.png"], "no model"),
    ],
)
def test_bad_input_is_one_line_a_remedy_and_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--storage", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and said in captured.err
    assert "Traceback" not in captured.err and captured.out == ""
    assert len(captured.err.strip().splitlines()) >= 2, "the remedy stands below"


def test_an_unusable_storage_is_said_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["studies", "--storage", str(tmp_path / "file" / "below")]) == 1
    assert "cannot be used" in capsys.readouterr().err


def test_help_and_check_import_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from raytune_app.cli.main import main; "
        f"main(['check', '{SMOKE}']); sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=False).returncode == 0


def test_every_verb_has_help_and_the_common_options() -> None:
    verbs = build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]  # argparse has no public way
    assert len(verbs) >= 13  # type: ignore[arg-type]  # a dict here
    for name, verb in verbs.items():  # type: ignore[union-attr]  # a dict here
        assert {"--storage", "--json", "--debug"} <= set(verb._option_string_actions), name


def test_a_damaged_version_is_listed_as_such_and_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(Storage(str(tmp_path)))
    for name in ("a", "b"):
        registry.register(name, Draft(model={}, weights=b"w", golden=b"g", card=""))
    (tmp_path / "models" / "a" / "1" / "model.json").write_text("{")
    assert main(["models", "--storage", str(tmp_path), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert rows["a"]["created_at"] == "corrupt" and "model.json" in rows["a"]["error"]
    assert "error" not in rows["b"]


def test_predict_takes_the_texts_of_the_command_line_and_of_standard_input(
    registry: Registry, make_text_draft: MakeDraft, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register("tone", make_text_draft())
    registry.promote("tone", 1)
    monkeypatch.setattr("sys.stdin", io.StringIO("one \u2028 line\r\n\nand another\n"))
    arguments = ["predict", "tone", "a moving film", "-", "--json", "--storage", registry.storage.uri]
    assert main(arguments) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [answer["example"] for answer in answers] == ["a moving film", "one \u2028 line", "and another"]
    assert all(answer["label"] in ("bad", "good") for answer in answers)
    assert main(["predict", "tone", " ", "--storage", registry.storage.uri]) == 2
    assert "a text is empty" in capsys.readouterr().err
