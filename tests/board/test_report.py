"""The study page: whole for any study, and text from a study is never HTML."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from raytune_app.errors import NotFoundError
from raytune_app.report import write_report
from raytune_app.spec import parse
from raytune_app.storage import Storage, StudyPaths
from raytune_app.training.metrics import SCORE_TITLES
from raytune_app.tuning.events import EventLog
from raytune_app.tuning.folder import StudyFolder

EVIL = "</script><script>alert(1)</script><b>bold</b>"
PATHS = StudyPaths("tiny-1")
CURVES = re.compile(r"^const curves = (.*);$", re.MULTILINE)


def _study(storage: Storage, *, error: str | None = None, choice: str = "relu") -> EventLog:
    experiment = parse(
        {
            "name": "tiny",
            "data": {"name": "mnist"},
            "model": {"name": "custom", "factory": "m:f", "options": {"activation": {"choice": [choice]}}},
        }
    )
    storage.write(PATHS.spec, experiment.to_yaml())
    record = {"state": "running", "seed": 0, "created": "2026-01-01", "versions": {"ray": "2"}, "speed": None}
    storage.write_json(PATHS.state, {**record, "data_fingerprint": "d", "code_fingerprint": "c"})
    log = EventLog(storage, PATHS)
    log.append("study_started", study="tiny-1", trials=2, epochs=2)
    log.append("trial_started", trial=0, config={"model.options.activation": choice}, parameters=10)
    if error:
        log.append("trial_ended", trial=0, state="failed", error=error)
    return log


def _finish(storage: Storage, log: EventLog, label: str = "zero") -> None:
    for epoch, accuracy in ((1, 0.5), (2, 0.7513)):
        log.append("epoch", trial=0, epoch=epoch, accuracy=accuracy, loss=1.0, decision=None, rung=None)
    log.append("trial_ended", trial=0, state="finished", error=None)
    log.append("study_ended", state="finished", reason=None)
    scores = {key + end: 0.9123 for key in SCORE_TITLES for end in ("", "_low", "_high")}
    labels = [label, "one"]
    rows = [{"label": name, "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 5} for name in labels]
    test: dict[str, Any] = {"n": 10, **scores, "per_class": rows, "confusion": [[4, 1], [0, 5]], "labels": labels}
    config = {"model.options.activation": "relu"}
    winner = {"trial": 0, "epoch": 2, "metric": "accuracy", "score": 0.7513, "parameters": 10, "config": config}
    confirmed = [{"trial": 0, "search_score": 0.76, "scores": [0.75, 0.74], "mean": 0.745, "se": 0.005}]
    more = {
        "schedule": [[0, config], [1, config]],
        "confirmed": confirmed,
        "search_trial": 0,
        "pareto": [],
        "role": "search",
    }
    storage.write_json(PATHS.winner, {**winner, **more, "test": test, "model": {"name": "m", "version": 1}})


def _page(storage: Storage) -> str:
    return storage.read_text(write_report(StudyFolder(storage, PATHS)))


class _Scripts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.bold = 0, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.bold += tag == "b"


def test_a_finished_study_shows_its_winner_scores_curves_and_confusion(storage: Storage) -> None:
    log = _study(storage)
    _finish(storage, log)
    page = _page(storage)
    assert "0.7513" in page and "0.9123" in page and "registered as m version 1" in page
    curves = json.loads(str(CURVES.search(page)[1]))  # type: ignore[index]  # None fails the test as well
    assert [(curve["name"], curve["y"]) for curve in curves["data"]] == [("trial 0 (winner)", [0.5, 0.7513])]
    cells = re.findall(r'<td class="(\w+)" style="--heat: ([\d.]+)">(\d+)</td>', page)
    assert cells == [("right", "0.8", "4"), ("wrong", "1", "1"), ("none", "0.0", "0"), ("right", "1.0", "5")]


def test_a_table_has_headings_that_a_reader_can_follow(storage: Storage) -> None:
    log = _study(storage)
    _finish(storage, log)
    page = _page(storage)
    assert page.count("<table") == 5
    assert not re.findall(r"<th(?! scope=)[ >]", page)
    assert re.findall(r"<h(\d)", page) == ["1", "2", "2", "2", "2", "2", "2"]


def test_a_study_whose_trials_diverged_has_a_page_without_curves(storage: Storage) -> None:
    log = _study(storage)
    log.append("epoch", trial=0, epoch=1, accuracy=float("nan"), loss=float("inf"), decision=None, rung=None)
    log.append("trial_ended", trial=0, state="diverged", error=None)
    log.append("study_ended", state="failed", reason=None)
    page = _page(storage)
    assert "No winner: no trial has a checkpoint with a finite score." in page
    assert json.loads(str(CURVES.search(page)[1]))["data"] == []  # type: ignore[index]  # None fails the test as well


def test_a_study_that_was_not_there_is_not_found(storage: Storage) -> None:
    with pytest.raises(NotFoundError):
        write_report(StudyFolder(storage, StudyPaths("none-1")))


def test_a_report_of_a_moved_study_is_the_same(storage: Storage, tmp_path: Path) -> None:
    log = _study(storage)
    _finish(storage, log)
    page = _page(storage)
    moved = Path(storage.root).rename(tmp_path / "elsewhere")
    assert _page(Storage(str(moved))) == page


@pytest.mark.parametrize("error", [None, "ValueError: torn"])
def test_a_study_that_runs_or_failed_has_a_page_too(storage: Storage, error: str | None) -> None:
    _study(storage, error=error)
    page = _page(storage)
    assert "No winner" in page
    assert (error or "running") in page


def test_text_of_a_study_is_never_html(storage: Storage) -> None:
    log = _study(storage, choice=EVIL)
    _finish(storage, log, label=EVIL)
    log.append("trial_ended", trial=0, state="failed", error=EVIL)
    page = _page(storage)
    parser = _Scripts()
    parser.feed(page)
    assert (parser.scripts, parser.bold) == (2, 0)
    assert page.count("&lt;b&gt;bold") >= 6  # the error, the setting, the label: shown, not obeyed
    assert "<" not in str(CURVES.search(page)[1])  # type: ignore[index]  # None fails the test as well


def test_plotly_gets_text_in_which_nothing_is_markup(storage: Storage) -> None:
    log = _study(storage, choice=EVIL)
    _finish(storage, log)
    curve = json.loads(str(CURVES.search(_page(storage))[1]))["data"][0]  # type: ignore[index]  # None fails as well
    assert "&lt;b&gt;bold" in curve["hovertemplate"]
    assert set(re.findall(r"<[^>]*>", curve["hovertemplate"])) == {"<br>", "<extra>", "</extra>"}


def test_the_page_needs_no_other_address_and_stays_small(storage: Storage) -> None:
    log = _study(storage)
    _finish(storage, log)
    page = _page(storage)
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=""", page)
    assert len(page) < 6_000_000
