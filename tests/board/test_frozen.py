"""The frozen page: whole for any study, and text from a study is never HTML."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from raytune_app.board import frozen as board
from raytune_app.board.frozen import write_report
from raytune_app.errors import NotFoundError
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.folder import StudyFolder
from tests.board.small import STUDY, begin, finish, make_study, train

EVIL = "</script><script>alert(1)</script><b>bold</b>"


def page(folder: StudyFolder) -> str:
    return folder.storage.read_text(write_report(folder))


def content(page: str) -> dict[str, Any]:
    """The study that lies packed in the page."""
    packed = re.search(r'<script type="text/plain" id="study">([^<]*)</script>', page)
    assert packed is not None
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.bold, self.policy = 0, 0, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.bold += tag == "b"
        found = dict(attrs)
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(found["content"])


def test_a_finished_study_has_its_winner_curves_and_figures(storage: Storage) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    finish(folder, log)
    found = page(folder)
    frozen = content(found)
    assert frozen["study"]["head"]["winner"]["score"] == 0.7513
    assert frozen["study"]["columns"]["epochs"]["values"]["accuracy"] == [0.5, 0.7513]
    assert frozen["figures"]["history"]["said"] and frozen["left_out"] == ""
    assert frozen["trials"]["0"]["epochs"][1]["loss"] == pytest.approx(0.2487)
    assert "<noscript>" in found and "0.7513" in found and "0.9123" in found


@pytest.mark.parametrize("error", [None, "ValueError: torn"])
def test_a_study_that_runs_or_failed_has_a_page_too(storage: Storage, error: str | None) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    if error:
        log.append("trial_ended", trial=0, state="failed", error=error)
    frozen = content(page(folder))
    assert frozen["study"]["head"]["winner"] is None and frozen["study"]["head"]["state"] == "running"
    assert frozen["trials"]["0"]["error"] == error


def test_a_study_that_was_not_there_is_not_found(storage: Storage) -> None:
    with pytest.raises(NotFoundError):
        write_report(StudyFolder(storage, StudyPaths("none-1")))


def test_a_page_of_a_moved_study_is_the_same(storage: Storage, tmp_path: Path) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    finish(folder, log)
    before = page(folder)
    moved = Storage(str(Path(storage.root).rename(tmp_path / "elsewhere")))
    assert page(StudyFolder(moved, StudyPaths(STUDY))) == before


def test_text_of_a_study_is_never_html(storage: Storage) -> None:
    folder, log = make_study(storage)
    hostile: dict[str, Any] = {"model.activation": EVIL}
    begin(log, 0, **hostile)
    finish(folder, log, label=EVIL)
    log.append("trial_ended", trial=0, state="failed", error=EVIL)
    log.append("output", trial=0, epoch=2, text=EVIL)
    found = page(folder)
    parser = _Parser()
    parser.feed(found)
    assert (parser.scripts, parser.bold) == (3, 0)
    frozen = content(found)
    assert frozen["trials"]["0"]["error"] == frozen["trials"]["0"]["output"][0]["text"] == EVIL
    assert "&lt;b&gt;bold" in found  # the setting, for those without JavaScript


def test_the_browser_is_told_to_load_nothing(storage: Storage) -> None:
    folder, log = make_study(storage)
    begin(log, 0)
    finish(folder, log)
    found = page(folder)
    parser = _Parser()
    parser.feed(found)
    policy = dict(part.strip().split(" ", 1) for part in parser.policy.split(";"))
    assert policy["default-src"] == "'none'" and "connect-src" not in policy
    assert "unsafe-inline" not in policy["script-src"] and policy["script-src"].count("sha256-") == 2
    assert not re.search(r"""<(script|link|img|iframe)[^>]+(src|href)=["'](?!data:)""", found)


def test_a_large_study_is_thinned_out_and_says_so(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "MAX_EPOCHS", 40)
    monkeypatch.setattr(board, "MAX_DETAILED", 3)
    folder, log = make_study(storage)
    for number in range(10):
        begin(log, number)
        for epoch in range(1, 9):
            train(log, number, epoch, 0.5 + number / 100 + (0.1 if epoch == 4 else 0))
    log.append("trial_ended", trial=0, state="failed", error="out of memory")
    frozen = content(page(folder))
    found = frozen["study"]["columns"]
    assert found["trials"]["number"] == list(range(10))
    assert found["trials"]["epochs"] == [3] * 9 + [8]
    assert found["epochs"]["epoch"][:3] == [1, 4, 8]
    assert found["trials"]["best"][2] == pytest.approx(0.62)
    assert "1 of 10 trials" in frozen["left_out"] and "3 of 10 trials" in frozen["left_out"]
    assert set(frozen["trials"]) == {"0", "9", "8"}


def test_the_winners_have_their_pages_and_curves_among_many_that_were_better_or_failed(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "MAX_EPOCHS", 1300)
    folder, log = make_study(storage)
    for number in range(400):
        begin(log, number)
        for epoch in range(1, 5):
            train(log, number, epoch, 0.9 - number / 1000 + epoch / 10000)
        if number < 200:
            log.append("trial_ended", trial=number, state="failed", error="out of memory")
    finish(folder, log)
    winner = folder.winner()
    assert winner is not None
    pareto = [{**winner, "trial": number} for number in (397, 396)]
    folder.storage.write_json(folder.paths.winner, {**winner, "trial": 399, "search_trial": 398, "pareto": pareto})
    frozen = content(page(folder))
    won = {"399", "398", "397", "396"}
    assert won <= set(frozen["trials"]) and len(frozen["trials"]) == board.MAX_DETAILED
    epochs = frozen["study"]["columns"]["trials"]["epochs"]
    assert epochs[396:] == [4] * 4 and epochs[395] < 4
