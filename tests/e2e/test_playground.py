"""The page in a real browser: a finger, a mouse, a keyboard, a phone, a dark room."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect

from serving.versions.dataplane import DataPlane
from serving.web.rest import Rest
from serving.wire.pictures import Pictures
from serving.wire.texts import Texts
from tests.e2e.chromium import chromium, draw, needs_chromium

HOSTILE = "<img src=x onerror=alert(1)>"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}
READABLE = 4.5
"""The contrast that WCAG 2.2 wants of text at level AA."""

Listening = Callable[[Any], AbstractContextManager[str]]

pytestmark = needs_chromium


class Lines:
    """Says of a picture whether what is on it is higher than wide; keeps what it saw."""

    name = "lines"
    version = 3
    inputs = Pictures((1, 28, 28))
    labels = ("lying", "standing")
    example_s = 0.0

    def __init__(self) -> None:
        self.seen = list[np.ndarray]()

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.seen.extend(images[:, 0])
        standing = np.array([np.ptp(ink(image)[0]) > np.ptp(ink(image)[1]) for image in images[:, 0]], np.float32)
        return np.stack([0.75 - 0.5 * standing, 0.25 + 0.5 * standing], axis=1)


class Mood:
    """Calls what ends in an exclamation mark loud."""

    name = "mood"
    version = 12
    inputs = Texts()
    labels = ("calm", HOSTILE)
    example_s = 0.0

    def predict(self, texts: list[str]) -> np.ndarray:
        loud = np.array([text.endswith("!") for text in texts], np.float32)
        return np.stack([1 - loud, loud], axis=1)


def ink(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of what is drawn."""
    rows, columns = np.nonzero(image > 60)
    return rows, columns


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def url(listening: Listening, lines: Lines) -> Iterator[str]:
    plane = DataPlane()
    plane.serve(lines)
    plane.serve(Mood())
    with listening(Rest(plane)) as url:
        yield url


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[OpenPage]:
    """`open_page(viewport=..., color_scheme=...)`: the page; in the end it must have been quiet and stayed at home."""
    contexts, wrong = [], list[str]()

    def opened(at: str = url, **options: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": DESKTOP, **options}))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda said: wrong.append(f"console: {said.text}"))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: None if _is_home(request.url, at) else wrong.append(request.url))
        page.goto(at)
        expect(page.locator("#about")).not_to_be_empty()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def _is_home(address: str, home: str) -> bool:
    return address.startswith((f"{home}/", "data:,", f"blob:{home}/"))


def type_text(page: Page, text: str) -> None:
    page.get_by_role("combobox", name="Model").select_option("mood")
    page.get_by_role("textbox", name="Text").fill(text)
    page.get_by_role("button", name="Classify").click()


def test_a_drawing_is_answered_with_bars_who_answered_and_how_fast(open_page: OpenPage, lines: Lines) -> None:
    page = open_page()
    draw(page, (0.2, 0.1), (0.2, 0.6))
    expect(page.get_by_role("heading", level=2)).to_have_text("standing")
    expect(page.locator("#version")).to_have_text(re.compile(r"^lines version 3 answered in \d+(\.\d)? ms$"))
    expect(page.locator("#classes tr")).to_have_count(2)
    expect(page.locator("#classes .share")).to_have_text(["75.0\u00a0%", "25.0\u00a0%"])
    widths = [page.locator(f"#classes .{part}").first.bounding_box() for part in ("bar", "track")]
    assert widths[0] is not None and widths[1] is not None
    assert widths[0]["width"] / widths[1]["width"] == pytest.approx(0.75, abs=0.02)
    expect(page.get_by_role("status")).to_contain_text("standing, 75.0\u00a0%")


def test_what_is_drawn_anywhere_arrives_as_handwriting_usually_does(open_page: OpenPage, lines: Lines) -> None:
    page = open_page()
    for stroke in ([(0.1, 0.1), (0.1, 0.3)], [(0.8, 0.15), (0.8, 0.9)]):
        page.get_by_role("button", name="Clear").click()
        draw(page, *stroke)
        expect(page.get_by_role("heading", level=2)).to_have_text("standing")
    assert len(lines.seen) == 2
    for image in lines.seen:
        rows, columns = ink(image)
        assert 19 <= np.ptp(rows) + 1 <= 21
        assert (rows.mean(), columns.mean()) == pytest.approx((13.5, 13.5), abs=0.7)
        assert image.max() > 200


def test_another_stroke_asks_again_and_clear_forgets(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, (0.4, 0.4), (0.4, 0.6))
    expect(page.get_by_role("heading", level=2)).to_have_text("standing")
    draw(page, (0.1, 0.5), (0.9, 0.5))
    expect(page.get_by_role("heading", level=2)).to_have_text("lying")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("heading", level=2)).to_be_hidden()
    page.get_by_role("application", name="Draw here").press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Draw something first.")


def test_a_sentence_is_answered_and_a_hostile_label_is_only_text(open_page: OpenPage) -> None:
    page = open_page()
    type_text(page, "how lovely")
    expect(page.get_by_role("heading", level=2)).to_have_text("calm")
    expect(page.locator("#version")).to_contain_text("mood version 12 answered in")
    type_text(page, "how lovely!")
    expect(page.get_by_role("heading", level=2)).to_have_text(HOSTILE)
    assert page.locator("#found img").count() == 0


def test_a_file_is_answered(open_page: OpenPage) -> None:
    picture = np.zeros((28, 28), np.uint8)
    picture[4:24, 14] = 255
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    page = open_page()
    file = FilePayload(name="one.png", mimeType="image/png", buffer=buffer.getvalue())
    page.get_by_label("Picture: a PNG or JPEG file").set_input_files(file)
    expect(page.get_by_role("heading", level=2)).to_have_text("standing")
    expect(page.get_by_role("img", name="The chosen picture")).to_be_visible()


def test_the_keyboard_alone_draws_asks_and_clears(open_page: OpenPage) -> None:
    page, keys = open_page(), None
    keys = page.keyboard
    keys.press("Tab")
    expect(page.get_by_role("combobox", name="Model")).to_be_focused()
    keys.press("Tab")
    expect(page.get_by_role("application", name="Draw here")).to_be_focused()
    expect(page.locator("#pen")).to_be_visible()
    keys.press("Space")
    expect(page.get_by_role("status")).to_have_text("Pen down")
    for _ in range(8):
        keys.press("ArrowRight")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=2)).to_have_text("lying")
    keys.press("Delete")
    expect(page.get_by_role("heading", level=2)).to_be_hidden()
    for control in (page.get_by_role("button", name="Clear"), page.get_by_label("Picture: a PNG or JPEG file")):
        keys.press("Tab")
        expect(control).to_be_focused()


def test_the_keyboard_alone_chooses_a_model_and_types(open_page: OpenPage) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    page.keyboard.type("mood")
    expect(page.get_by_role("textbox", name="Text")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.type("all is well")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", level=2)).to_have_text("calm")


def test_on_a_phone_nothing_sticks_out_and_the_answer_is_in_sight(open_page: OpenPage) -> None:
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    for kind in ("a drawing", "a text"):
        if kind == "a drawing":
            draw(page, (0.3, 0.2), (0.3, 0.8))
        else:
            type_text(page, "x " * 300)
        heading = page.get_by_role("heading", level=2)
        expect(heading).to_have_text("standing" if kind == "a drawing" else "calm")
        box = heading.bounding_box()
        assert box is not None and box["y"] + box["height"] < PHONE["height"]
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate("getComputedStyle(document.getElementById('pad')).touchAction") == "none", "else it scrolls"
    heights = page.locator("button:visible").evaluate_all("all => all.map(each => each.offsetHeight)")
    assert min(heights) >= 44, "a finger must meet it"


CONTRASTS = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * R + .7152 * G + .0722 * B;
  };
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parts(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const shown = [...document.querySelectorAll("body *")].filter(each => each.checkVisibility());
  const texts = shown.filter(each => !each.matches("script")
    && [...each.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
  return texts.map(each => {
    const [one, other] = [light(parts(getComputedStyle(each).color)), light(behind(each))].sort((a, b) => b - a);
    return [each.tagName + "#" + each.id, (one + .05) / (other + .05)];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(open_page: OpenPage, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] < 128")
    assert dark is (scheme == "dark")
    page.get_by_role("application", name="Draw here").press("Enter")
    expect(page.get_by_role("alert")).not_to_be_empty()
    found = page.evaluate(CONTRASTS)
    draw(page, (0.3, 0.2), (0.3, 0.8))
    expect(page.get_by_role("heading", level=2)).to_be_visible()
    found += page.evaluate(CONTRASTS)
    type_text(page, "how lovely")
    expect(page.get_by_role("heading", level=2)).to_have_text("calm")
    found += page.evaluate(CONTRASTS)
    assert len(found) >= 30
    assert not [(name, round(contrast, 2)) for name, contrast in found if contrast < READABLE]


def test_whatever_takes_the_focus_has_a_name_for_a_screen_reader(open_page: OpenPage) -> None:
    page = open_page()
    for name, role in {"Model": "combobox", "Draw here": "application", "Clear": "button"}.items():
        expect(page.get_by_role(role, name=name)).to_be_visible()  # type: ignore[arg-type]  # one of ARIA's
    pad = page.get_by_role("application", name="Draw here")
    expect(pad).to_have_accessible_description(re.compile("arrows move the pen"))
    draw(page, (0.3, 0.2), (0.3, 0.8))
    expect(page.get_by_role("table", name="Probabilities").get_by_role("row")).to_have_count(3)
    expect(page.get_by_role("rowheader", name="standing")).to_be_visible()


def test_an_endpoint_that_wants_a_key_is_asked_with_it(listening: Listening, browser: Browser, lines: Lines) -> None:
    plane = DataPlane()
    plane.serve(lines)
    inside = Rest(plane)

    async def guarded(scope: dict[str, Any], receive: Any, send: Any) -> None:
        shown = dict(scope.get("headers", ())).get(b"authorization")
        if scope["type"] == "http" and scope["path"].startswith("/v2") and shown != b"Bearer open sesame":
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"error": "an API key is needed"}'})
        else:
            await inside(scope, receive, send)

    with listening(guarded) as url:
        page = browser.new_page()
        page.goto(url)
        expect(page.get_by_role("alert")).to_contain_text("an API key is needed")
        page.get_by_label("API key", exact=True).and_(page.locator("input")).fill("open sesame")
        page.keyboard.press("Enter")
        expect(page.locator("#about")).to_contain_text("Version 3")
        expect(page.get_by_role("alert")).to_be_empty()
        assert page.url == f"{url}/", "the key is not in the address"
        draw(page, (0.3, 0.2), (0.3, 0.8))
        expect(page.get_by_role("heading", level=2)).to_have_text("standing")
        page.close()
