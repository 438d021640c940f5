"""The picture of a study fits its terminal, shows what is asked of it, and takes no text for markup."""

from __future__ import annotations

import io
import sys
import time
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from raytune_app.display.frame import Frame, budget_of
from raytune_app.display.watching import Watching, watch_here
from raytune_app.storage import Storage
from raytune_app.tuning.folder import this_process
from tests.display.told import Told

HOSTILE = "[/bold] \x1b]0;title\x07 <script>alert(1)</script>"


@pytest.fixture
def told(storage: Storage) -> Told:
    study = Told(storage)
    study.start()
    return study


def _drawn(frame: Frame, width: int = 120, height: int = 40, *, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=terminal, color_system=None)
    console.print(frame)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _watched(told: Told) -> Watching:
    watching = Watching(told.folder)
    watching.poll()
    return watching


def test_it_shows_the_best_the_rungs_the_counts_and_the_use(told: Told) -> None:
    told.trial(0, 0.5, 0.6, 0.9)
    told.trial(1, 0.1, state="stopped")
    told.trial(2, 0.7, state=None)
    text = _drawn(_watched(told).frame)
    assert "best accuracy 0.9000: trial 0, epoch 3" in text
    assert "1 running, 1 finished, 1 stopped, 3 to come" in text
    assert "7/18 epochs" in text, "three trained, three of a trial that was stopped, one"
    assert f"{5 * 2 * 2 / 3600:.3g} device-hours" in text
    judged = next(line for line in text.splitlines() if line.split()[:2] == ["1", "3"])
    assert judged.split() == ["1", "3", "1", "0", "0.7000", "0.5000"]


def test_it_shows_who_waits_for_what_and_what_is_free(told: Told) -> None:
    waiting: list[dict[str, Any]] = [
        {"trial": None, "asked": {"CPU": 1, "GPU": 0.25, "memory": 2**30}, "why": f"no GPU {HOSTILE}"}
    ]
    waiting += [{"trial": trial, "asked": {"CPU": 1, "memory": 2**30}, "why": ""} for trial in (0, 1)]
    resources = {"CPU": 2.0, "GPU": 1.0, "memory": 2.0**30, "node:10.0.0.1": 1.0, "object_store_memory": 5.0}
    node = {"name": "n1", "address": "10.0.0.1", "resources": resources, "available": {"CPU": 1.0}}
    told.beat(datetime.now(UTC), this_process(), waiting=waiting, nodes=[node])
    told.trial(0, 0.5)
    watching = _watched(told)
    text = _drawn(watching.frame)
    assert "a new trial waits: no GPU [/bold] \\x1b" in text
    assert "trial 0 waits" not in text, "it has ended since the beat"
    assert "trial 1 waits: needs 1 CPU, 1.0 GB of memory" in text
    assert "node n1: 1 of 2 CPU, 0 of 1 GPU, 0.0 of 1.0 GB free" in text


@pytest.mark.parametrize("height", [20, 30, 60])
@pytest.mark.parametrize("width", [60, 100, 200])
def test_it_fits_the_terminal(told: Told, width: int, height: int) -> None:
    for trial in range(40):
        told.trial(trial, 0.1, 0.2, 0.01 * trial)
    lines = _drawn(_watched(told).frame, width, height, terminal=True).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert sum("finished" in line for line in lines) > 3


def test_no_text_of_a_study_is_markup_or_html_or_steers_the_terminal(told: Told) -> None:
    told.trial(0, 0.5, state="failed", error=HOSTILE)
    frame = _watched(told).frame
    text = _drawn(frame, 200, terminal=True)
    assert "[/bold]" in text and "\x1b]" not in text and "\x07" not in text
    html = frame._repr_mimebundle_((), ())["text/html"]
    assert "<script" not in html and "small" in html


def test_the_time_left_follows_from_the_pace_and_the_nearest_limit(storage: Storage) -> None:
    told = Told(storage, budget={"epochs": 4})
    told.start()
    told.trial(0, 0.5, 0.6, 0.9)
    budget = budget_of(_watched(told).account, told.experiment)
    assert (budget.done, budget.total) == (3, 4)
    told.trial(1, 0.5)
    assert budget_of(_watched(told).account, told.experiment).left_s is None, "nothing is left"


def test_a_notebook_shows_it_in_place_until_the_study_ends(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    class Handle:
        def update(self, frame: Frame) -> None:
            shown.append(_drawn(frame))

    def display(frame: Frame, *, display_id: bool) -> Handle:
        shown.append(_drawn(frame))
        return Handle()

    notebook, fake = ModuleType("IPython"), ModuleType("IPython.display")
    vars(notebook)["get_ipython"] = lambda: SimpleNamespace(kernel=None)
    vars(fake)["display"] = display
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    steps = iter([lambda: told.trial(0, 0.5, 0.6, 0.7), told.end])
    monkeypatch.setattr(time, "sleep", lambda _: next(steps)())
    watch_here(told.folder)
    assert len(shown) == 3
    assert "best accuracy" not in shown[0] and "best accuracy 0.7000" in shown[1] and "finished" in shown[2]


def test_without_a_notebook_it_is_drawn_on_the_terminal(
    told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)  # as if it were not installed
    steps = iter([lambda: told.trial(0, 0.5, 0.6, 0.7), told.end])
    monkeypatch.setattr(time, "sleep", lambda _: next(steps)())
    assert watch_here(told.folder).is_over
    assert "best accuracy 0.7000" in capsys.readouterr().out
