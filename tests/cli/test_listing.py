"""What a person sees of studies: every verb's words, exit codes and next commands; nothing steers the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from raytune_app.cli.live import LiveTable
from raytune_app.cli.main import main
from raytune_app.storage import Storage
from raytune_app.tuning.view import StudyState
from tests.display.told import ELSEWHERE, Told

HOSTILE = "[/bold] \x1b]0;title\x07 bad"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def told(storage: Storage) -> Told:
    study = Told(storage)
    study.start()
    study.trial(0, 0.5, 0.6, 0.9)
    study.log.append("output", trial=0, epoch=3, text=f"step 1\rstep 2\n{HOSTILE}\n")
    study.trial(1, 0.1, state="failed", error=HOSTILE, details=f"  File x\n{HOSTILE}")
    return study


def _raytune(told: Told, *arguments: str) -> int:
    return main([*arguments, "--storage", told.folder.storage.uri])


def _between_polls(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], Any]) -> None:
    """Each wait of a verb that follows is the next step."""
    left = iter(steps)
    monkeypatch.setattr(time, "sleep", lambda _: next(left)())


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "arguments",
    [["studies"], ["show", "small"], ["show", "small", "--trial", "1"], ["logs", "small"], ["watch", "small", "-v"]],
    ids="-".join,
)
def test_nothing_that_a_study_says_steers_the_terminal(told: Told, arguments: list[str], capsys: Capture) -> None:
    told.end()
    assert _raytune(told, *arguments) == 0
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err and "\x07" not in captured.out + captured.err
    assert arguments == ["studies"] or "[/bold] \\x1b" in captured.out
    assert "next:" in captured.out or arguments[0] == "logs"


def test_studies_tells_best_counts_hours_and_what_to_do_next(told: Told, storage: Storage, capsys: Capture) -> None:
    lost = Told(storage)
    lost.start({**ELSEWHERE})
    lost.folder.update(began="2026-01-01T00:00:00+00:00")
    assert _raytune(told, "studies") == 0
    lines = capsys.readouterr().out.splitlines()
    running = next(line for line in lines if line.startswith(told.folder.study))
    assert "running" in running and "accuracy 0.9000 (trial 0)" in running and "0.00444" in running
    assert any("stale: driver lost" in line for line in lines)
    assert any(f"raytune resume {lost.folder.study}" in line for line in lines)
    assert any(f"raytune watch {told.folder.study}" in line for line in lines)
    assert _raytune(told, "studies", "--json") == 0
    found = {one["study"]: one for one in json.loads(capsys.readouterr().out)["studies"]}
    assert found[told.folder.study]["done"] == 1 and found[lost.folder.study]["state"] == "stale"


def test_show_tells_what_was_spent_and_why_it_ended(storage: Storage, capsys: Capture) -> None:
    told = Told(storage, budget={"epochs": 3})
    told.start()
    told.trial(0, 0.5, 0.6, 0.9)
    told.end(reason="budget: 3 epochs")
    assert _raytune(told, "show", "small") == 0
    out = capsys.readouterr().out
    assert "finished by budget: 3 epochs" in out and "trained 3 epochs of 3, 0.00333 device-hours" in out
    assert "judged after epoch" in out and "winner: trial 0, epoch 3" in out
    assert _raytune(told, "show", "small", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["spent"]["epochs"] == 3 and content["rungs"][0]["reached"] == 1


def test_show_of_a_trial_tells_its_curve_checkpoints_output_and_error(told: Told, capsys: Capture) -> None:
    assert _raytune(told, "show", "small", "--trial", "0") == 0
    out = capsys.readouterr().out
    assert "accuracy: ▁" in out and "0.5000 to 0.9000" in out and "epoch 3, 0.50 MB" in out
    assert "  step 2\n" in out and "step 1" not in out
    assert _raytune(told, "show", "small", "--trial", "1") == 0
    assert "  File x" in capsys.readouterr().out
    assert _raytune(told, "show", "small", "--trial", "7") == 2
    assert "there is no trial 7" in capsys.readouterr().err


def test_logs_tell_every_event_in_a_line_and_errors_once(told: Told, capsys: Capture) -> None:
    told.log.append("kind_of_a_newer_version", what="x")
    assert _raytune(told, "logs", "small") == 0
    out = capsys.readouterr().out
    assert " trial 0 epoch 1/3 loss 0.5000 accuracy 0.5000 (rung 1: continue)\n" in out
    assert "    trial 0 | step 2\n" in out and out.count("File x") == 1 and "kind_of_a_newer_version what x" in out
    assert _raytune(told, "logs", "small", "--trial", "1") == 0
    assert "trial 0" not in capsys.readouterr().out
    assert _raytune(told, "logs", "small", "--json") == 0
    assert json.loads(capsys.readouterr().out)["events"] == told.log_events()
    assert _raytune(told, "logs", "small", "--trial", "9") == 2


@pytest.mark.parametrize("is_json", [False, True])
def test_logs_follow_until_the_study_ends(
    told: Told, is_json: bool, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _between_polls(monkeypatch, lambda: told.trial(2, 0.4), told.end)
    assert _raytune(told, "logs", "small", "-f", *(["--json"] if is_json else [])) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ("study_ended" if is_json else "study finished") in lines[-1]
    if is_json:
        assert [json.loads(line) for line in lines] == told.log_events()
    else:
        assert sum("trial 2 epoch 1/3" in line for line in lines) == 1


def test_watch_tells_each_trial_that_ends_in_a_line_with_the_best_so_far(
    told: Told, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _between_polls(monkeypatch, lambda: told.trial(2, 0.4, 0.5, 0.95), told.end)
    assert _raytune(told, "watch", "small") == 0
    lines = capsys.readouterr().out.splitlines()
    ended = [line for line in lines if line.startswith("[ ")]
    assert len(ended) == 3
    assert "best: trial 0 0.9000" in ended[0] and "best: trial 2 0.9500" in ended[2]
    assert any("finished; best accuracy 0.9500: trial 2" in line for line in lines)


@pytest.mark.parametrize("state", [StudyState.STOPPED, StudyState.PAUSED, StudyState.FAILED])
def test_watch_of_a_study_that_came_to_nothing_exits_with_1_and_the_remedy(
    told: Told, state: StudyState, capsys: Capture
) -> None:
    told.end(state, "interrupted")
    assert _raytune(told, "watch", "small", "--json") == 1
    content = json.loads(capsys.readouterr().out)
    assert (content["state"], content["best"]["trial"]) == (state, 0)
    assert _raytune(told, "watch", "small") == 1
    assert f"raytune resume {told.folder.study}" in capsys.readouterr().out


def test_watch_tells_a_lost_driver_and_ends(told: Told, capsys: Capture) -> None:
    told.folder.update(driver=ELSEWHERE, began="2026-01-01T00:00:00+00:00")
    assert _raytune(told, "watch", "small") == 1
    out = capsys.readouterr().out
    assert "driver is lost" in out and f"raytune resume {told.folder.study}" in out


def test_ctrl_c_ends_the_watching_and_leaves_the_study_alone(
    told: Told, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = told.folder.record(), told.log_events()
    _between_polls(monkeypatch, _interrupt)
    assert _raytune(told, "watch", "small") == 130
    assert f"study {told.folder.study} goes on" in capsys.readouterr().err
    assert (told.folder.record(), told.log_events()) == before


def test_a_run_without_a_terminal_prints_one_line_a_trial_and_with_v_each_epoch(
    storage: Storage, capsys: Capture
) -> None:
    for verbose in (False, True):
        told = Told(storage)
        with LiveTable(told.folder, told.experiment, verbose=verbose) as table:
            told.log._observers.append(table)
            told.start()
            told.trial(0, 0.5, 0.6, 0.9)
            told.trial(1, 0.1, state="failed", error=HOSTILE)
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        assert captured.out == "" and "\x1b" not in captured.err
        assert len([line for line in lines if line.startswith("[ ")]) == 2
        assert len(lines) == 2 if not verbose else sum(" epoch " in line for line in lines) >= 4


@pytest.mark.parametrize("arguments", [["studies"], ["show", "small"], ["logs", "small"]], ids="-".join)
def test_a_study_that_has_not_begun_is_told_too(storage: Storage, arguments: list[str], capsys: Capture) -> None:
    assert _raytune(Told(storage), *arguments) == 0
    assert "small" in capsys.readouterr().out


def test_looking_at_studies_imports_neither_torch_nor_ray_nor_plots(told: Told) -> None:
    told.end()
    verbs = [["studies"], ["show", "small"], ["show", "small", "--trial", "0"], ["logs", "small"], ["watch", "small"]]
    code = (
        "import sys; from raytune_app.cli.main import main\n"
        f"for verb in {verbs}: main([*verb, '--storage', {told.folder.storage.uri!r}])\n"
        "sys.exit(str([name for name in ('torch', 'ray', 'pandas', 'plotly', 'optuna') if name in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert answer.stderr.strip().splitlines()[-1] == "[]"
