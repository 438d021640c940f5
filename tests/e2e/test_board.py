"""The board in a real browser: a study that grows, a trial, a comparison, the frozen page; a phone, a keyboard."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect

from raytune_app.board.frozen import write_report
from raytune_app.storage import Storage
from tests.board.small import begin, finish, make_study, train
from tests.e2e.chromium import chromium, needs_chromium

HOSTILE = "<img src=x onerror=alert(1)>"
FIRST, SECOND = "tiny-20261101-000000-0001", "tiny-20261102-000000-0002"
PHONE = {"width": 360, "height": 740}
DEADLINE_S = 30.0
SOFT = "rgb(91, 95, 105)"  # --soft of the page, in light
PAINTED = "document.querySelector('.chart canvas').toDataURL()"

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.timeout(120)]

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def url(storage: Storage) -> Iterator[str]:
    """A board of its own process, which Ctrl-C ends."""
    command = [sys.executable, "-m", "raytune_app", "board", "--json", "--port", "0", "--storage", storage.uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield str(json.loads(process.stdout.readline())["url"]).rstrip("/")
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """`open_page(url, **options)`: in the end no request has left the machine, and nothing was wrong."""
    contexts, wrong = [], list[str]()

    def opened(at: str, **options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        home = at.partition("#")[0].rstrip("/")

        def route(asked: Route) -> None:
            if asked.request.url.startswith((home, "data:,")):
                asked.continue_()
            else:
                wrong.append(asked.request.url)
                asked.abort()

        def console(said: ConsoleMessage) -> None:
            if said.type == "error" or not said.text.startswith("[.WebGL"):  # a driver's remark on its own speed
                wrong.append(f"console: {said.text}")

        page.route("**/*", route)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", console)
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.goto(at)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def four_trials(storage: Storage, study: str = FIRST, **config: Any) -> Any:
    """A study with four trials of one epoch each, which are judged."""
    folder, log = make_study(storage, study)
    for number, accuracy in enumerate((0.5, 0.8, 0.6, 0.7)):
        begin(log, number, lr=0.001 * (number + 1), **{"train.momentum": 0.2 * number, **config})
        train(log, number, 1, accuracy, decision="continue", rung=1)
    return folder, log


def rows(page: Page) -> list[str]:
    return page.locator("tr[data-id] th a").all_inner_texts()


def test_a_curve_grows_without_reloading_and_a_new_best_is_told(
    url: str, open_page: OpenPage, storage: Storage
) -> None:
    _, log = four_trials(storage)
    page = open_page(f"{url}/#/study/{FIRST}")
    expect(page.locator("tr[data-id]")).to_have_count(4)
    expect(page.get_by_role("img", name=re.compile("the best is trial 1 with 0.8000"))).to_be_visible()
    page.evaluate("window.same = true")
    before = page.evaluate(PAINTED)
    for epoch, accuracy in ((2, 0.85), (3, 0.9)):
        train(log, 2, epoch, accuracy)
    expect(page.locator("tr[data-id='2']")).to_contain_text(re.compile(r"running\s*0\.9000\s*3\s*3"))
    expect(page.locator("#news")).to_have_text(re.compile("New best: trial 2, accuracy 0.9000 after epoch 3"))
    expect(page.get_by_role("img", name=re.compile("the best is trial 2 with 0.9000"))).to_be_visible()
    assert page.evaluate("window.same"), "the page was loaded again"
    assert page.evaluate(PAINTED) != before
    begin(log, 4)
    expect(page.locator("tr[data-id]")).to_have_count(5)


def test_the_end_of_a_study_and_its_winner_arrive(url: str, open_page: OpenPage, storage: Storage) -> None:
    folder, log = four_trials(storage)
    page = open_page(f"{url}/#/study/{FIRST}")
    expect(page.get_by_role("heading", name="Best so far: trial 1")).to_be_visible()
    finish(folder, log)
    winner = page.get_by_role("region", name="winner")
    expect(winner.get_by_role("heading", name="Winner: trial 0, epoch 2")).to_be_visible()
    expect(winner).to_contain_text("m version 1")
    expect(winner).to_contain_text("95 %: 0.9123 to 0.9123")
    expect(page.get_by_role("table", name="confusion matrix")).to_be_visible()


def test_the_table_is_sorted_by_its_headings_and_filtered_by_words(
    url: str, open_page: OpenPage, storage: Storage
) -> None:
    four_trials(storage)
    page = open_page(f"{url}/#/study/{FIRST}")
    expect(page.locator("tr[data-id]")).to_have_count(4)
    assert rows(page) == ["1", "3", "2", "0"]
    heading = page.get_by_role("columnheader", name="train. lr")
    heading.get_by_role("button").click()
    assert rows(page) == ["0", "1", "2", "3"]
    expect(heading).to_have_attribute("aria-sort", "ascending")
    heading.get_by_role("button").press("Enter")
    assert rows(page) == ["3", "2", "1", "0"]
    page.get_by_role("searchbox", name="filter trials").fill("running lr<0.0025")
    assert rows(page) == ["1", "0"]


def test_a_row_opens_its_trial_by_enter_and_back_leads_back(url: str, open_page: OpenPage, storage: Storage) -> None:
    _, log = four_trials(storage)
    log.append("output", trial=1, epoch=1, text=HOSTILE)
    log.append("trial_ended", trial=1, state="failed", error=HOSTILE)
    page = open_page(f"{url}/#/study/{FIRST}")
    page.locator("tr[data-id='3']").focus()
    page.keyboard.press("ArrowUp")
    expect(page.locator("tr[data-id='1']")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Trial 1", level=1)).to_be_focused()
    expect(page.locator("pre")).to_have_text([HOSTILE, HOSTILE])
    train(log, 1, 2, 0.9)
    expect(page.get_by_role("table", name="epochs").get_by_role("row")).to_have_count(3)
    page.go_back()
    expect(page.get_by_role("heading", name=FIRST, level=1)).to_be_visible()


def test_what_has_the_focus_keeps_it_as_a_study_goes_on(url: str, open_page: OpenPage, storage: Storage) -> None:
    _, log = four_trials(storage)
    page = open_page(f"{url}/#/study/{FIRST}")
    row = page.locator("tr[data-id='2']")
    places = row.get_by_role("link"), row.get_by_role("checkbox"), row, page.get_by_role("heading", level=1)
    for epoch, place in enumerate(places, start=2):
        place.focus()
        train(log, 0, epoch, 0.5 + epoch / 100)
        expect(page.locator("tr[data-id='0']")).to_contain_text(f"0.{50 + epoch}00")
        expect(place).to_be_focused()


def test_an_answer_that_comes_late_changes_no_other_page(url: str, open_page: OpenPage, storage: Storage) -> None:
    four_trials(storage)
    _, log = four_trials(storage, SECOND)
    page = open_page(f"{url}/")
    late: list[Route] = []
    page.route(f"**/api/studies/{FIRST}", lambda asked: late.append(asked))  # noqa: PLW0108  # Playwright marks it
    page.route(f"**/api/studies/{FIRST}/events?*", lambda asked: asked.abort())  # which the end of the test would tell
    with page.expect_request(f"**/api/studies/{FIRST}"):
        page.get_by_role("link", name=FIRST).click()
    page.evaluate(f"location.hash = '#/study/{SECOND}'")
    expect(page.get_by_role("heading", name=SECOND, level=1)).to_be_visible()
    with page.expect_response(f"**/api/studies/{FIRST}"):
        late[0].continue_()
    train(log, 2, 2, 0.95)
    expect(page.locator("tr[data-id='2']")).to_contain_text("0.9500")
    assert page.get_by_role("heading", level=1).inner_text() == SECOND


def test_rungs_timeline_and_plotly_figures_are_tabs(url: str, open_page: OpenPage, storage: Storage) -> None:
    folder, log = four_trials(storage)
    for number in range(4):
        log.append("trial_ended", trial=number, state="stopped", error=None)
    finish(folder, log)
    page = open_page(f"{url}/#/study/{FIRST}")
    expect(page.get_by_role("tab", name="Contour")).to_be_visible(timeout=20_000)
    page.get_by_role("tab", name="Rungs").click()
    expect(page.get_by_role("table", name="rungs").get_by_role("row").nth(1)).to_contain_text(re.compile("^1 ?3 ?3 ?0"))
    page.get_by_role("tab", name="Timeline").click()
    expect(page.get_by_role("img", name=re.compile("timeline of"))).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", selected=True)).to_have_text("Best so far")
    for name in ("Parallel coordinates", "Contour", "Parallel coordinates"):
        page.get_by_role("tab", name=name).click()
        frame = page.frame_locator("iframe")
        expect(frame.locator("body[data-drawn]")).to_be_attached(timeout=20_000)
        expect(frame.locator("svg.main-svg").first).to_be_visible()
        expect(frame.locator("text.gtitle")).to_have_css("fill", SOFT)
    page.get_by_role("tab", name="Contour").click()
    across, up = (page.get_by_role("combobox", name=axis, exact=True) for axis in ("across", "up"))
    across.select_option("train.lr")  # one axis alone asks for nothing
    for path, asked in (("train.momentum", "x=train.lr&y=train.momentum"), ("", "")):
        with page.expect_request(re.compile(rf"/figures/contour\?{re.escape(asked)}$")):
            up.select_option(path)


def test_what_waits_and_a_lost_driver_are_told(url: str, open_page: OpenPage, storage: Storage) -> None:
    folder, _ = four_trials(storage)
    driver = {"host": "elsewhere", "pid": 1, "started": 0.0}
    folder.update(driver=driver)
    waiting = [{"trial": 7, "asked": {"GPU": 1.0}, "why": f"needs 1 GPU: {HOSTILE}"}]
    status = {"driver": driver, "slots": 2, "waiting": waiting, "nodes": []}
    now = datetime.now(UTC)
    storage.write_json(folder.paths / "status.json", {**status, "time": (now - timedelta(minutes=5)).isoformat()})
    page = open_page(f"{url}/#/study/{FIRST}/timeline")
    expect(page.get_by_text(f"raytune resume {FIRST}")).to_be_visible()
    expect(page.get_by_text(f"trial 7 asks for 1 GPU: needs 1 GPU: {HOSTILE}")).to_be_visible()
    storage.write_json(folder.paths / "status.json", {**status, "time": (now + timedelta(minutes=5)).isoformat()})
    expect(page.get_by_text(f"raytune resume {FIRST}")).to_be_hidden()


def test_two_studies_are_compared_from_a_page_that_is_none(url: str, open_page: OpenPage, storage: Storage) -> None:
    four_trials(storage)[0].update(created="2026-11-02T00:00:00+00:00")
    four_trials(storage, SECOND)
    page = open_page(f"{url}/#/%")
    expect(page.get_by_role("alert")).to_have_text("This is not an address of the board.")
    page.get_by_role("link", name="All studies").click()
    expect(page.locator("tr[data-id] th a")).to_have_text([FIRST, SECOND])  # the newest first, whatever its name
    for study in (FIRST, SECOND):
        page.get_by_role("checkbox", name=f"choose {study} to compare").check()
    page.get_by_role("button", name="Compare 2 studies").click()
    expect(page.get_by_role("heading", name="2 studies compared")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile(f"{FIRST} 0.8000, {SECOND} 0.8000"))).to_be_visible()
    expect(page.get_by_role("table", name="The best trial's settings")).to_contain_text("0.002")


def test_a_hostile_setting_is_only_text_everywhere(url: str, open_page: OpenPage, storage: Storage) -> None:
    folder, log = four_trials(storage, **{"model.activation": HOSTILE})
    finish(folder, log, label=HOSTILE)
    page = open_page(f"{url}/#/study/{FIRST}")
    expect(page.locator("td", has_text=HOSTILE).first).to_be_visible()
    write_report(folder)
    frozen = open_page(Path(folder.storage.location(folder.paths.report)).as_uri())
    expect(frozen.locator("td", has_text=HOSTILE).first).to_be_visible()
    assert page.locator("img, b").count() == frozen.locator("img, b").count() == 0


def test_the_frozen_page_opens_from_disk_whole(open_page: OpenPage, storage: Storage) -> None:
    folder, log = four_trials(storage)
    for number in (1, 2, 3):
        log.append("trial_ended", trial=number, state="stopped", error=None)
    finish(folder, log)
    file = Path(folder.storage.location(write_report(folder)))
    assert file.stat().st_size < 6_000_000
    page = open_page(file.as_uri())
    expect(page.get_by_role("heading", name=FIRST, level=1)).to_be_visible()
    expect(page.locator("tr[data-id]")).to_have_count(4)
    assert not page.evaluate("'Plotly' in window"), "plotly ran before a figure wanted it"
    page.get_by_role("tab", name="Parallel coordinates").click()
    expect(page.locator("svg.main-svg").first).to_be_visible(timeout=20_000)
    page.locator("tr[data-id='2']").click()
    expect(page.get_by_role("heading", name="Trial 2", level=1)).to_be_visible()
    expect(page.get_by_role("table", name="epochs")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_every_page_without_scrolling_sideways(
    url: str, open_page: OpenPage, storage: Storage, scheme: str
) -> None:
    folder, log = four_trials(storage)
    finish(folder, log)
    for place in ("", f"study/{FIRST}", f"study/{FIRST}/rungs", f"study/{FIRST}/timeline", f"study/{FIRST}/trial/0"):
        page = open_page(f"{url}/#/{place}", viewport=PHONE, color_scheme=scheme)
        expect(page.locator("table").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], place
