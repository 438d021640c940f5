"""Makes the pictures of this folder, from real studies: `make screenshots`.

Runs an ASHA study and a PBT study on MNIST, opens them on the board, serves the first one's winner and draws a digit
for it: about five minutes on two cores.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.e2e.chromium import CHROMIUM, NONE_HERE, chromium, draw  # noqa: E402  # this project, wherever it is started from

VIEW = ViewportSize(width=1120, height=760)
HIGH = ViewportSize(width=1120, height=1080)
MAX_BYTES = 200_000
ASHA = ("experiments/demo.yaml", "--set", "trials=27")
PBT = ("experiments/mnist_pbt.yaml", "--set", "data.train_limit=3000")
PAINTED = """() => {
  const canvas = document.querySelector(".chart canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value) => value > 0);
}"""
SEVEN = ((0.25, 0.25), (0.7, 0.25), (0.42, 0.8))


def raytune(*arguments: str) -> list[str]:
    """The command line of a verb."""
    return [sys.executable, "-m", "raytune_app", *arguments]


def run(storage: str, *arguments: str) -> str:
    """Run a study to its end; its id."""
    command = raytune("run", *arguments, "--json", "--storage", storage)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own program
    return str(json.loads(done.stdout)["study"])


@contextmanager
def running(*arguments: str) -> Iterator[dict[str, Any]]:
    """A verb that stays, ended in good order: what it said as JSON."""
    with subprocess.Popen(raytune(*arguments, "--json"), stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def keep(page: Page, name: str) -> None:
    """Save what the page shows, small enough for a repository."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(128)
    file = HERE / f"{name}.png"
    picture.save(file, optimize=True)
    assert file.stat().st_size < MAX_BYTES, f"{file} is larger than {MAX_BYTES} bytes"
    print(f"{file}: {file.stat().st_size:,} bytes")


def of_the_board(browser: Browser, url: str, asha: str, pbt: str) -> None:
    """The board's pages."""
    shots: list[tuple[str, str, Callable[[Page], None]]] = [
        ("board", f"study/{asha}", wait_for_plot),
        ("parallel", f"study/{asha}/parallel", wait_for_figure),
        ("rungs", f"study/{asha}/rungs", show_plot),
        ("lineage", f"study/{pbt}/lineage", show_plot),
    ]
    for name, place, prepare in shots:
        page = browser.new_page(viewport=HIGH if name == "board" else VIEW)
        page.goto(f"{url}#/{place}")
        expect(page.locator("tr[data-id]").first).to_be_visible()
        prepare(page)
        keep(page, name)
        page.close()


def wait_for_plot(page: Page) -> None:
    """A plot of the page's own, once something stands on it, with the tabs of all others."""
    expect(page.get_by_role("tab", name="Contour")).to_be_visible(timeout=30_000)
    page.wait_for_function(PAINTED)


def show_plot(page: Page) -> None:
    """The same at the top of the window."""
    wait_for_plot(page)
    to_the_top(page)


def to_the_top(page: Page) -> None:
    """Bring the plots to the top of the window."""
    page.locator("section[aria-label=plots]").evaluate("element => scrollTo(0, element.offsetTop - 16)")


def wait_for_figure(page: Page) -> None:
    """The figure, once it is drawn."""
    expect(page.frame_locator("iframe").locator("body[data-drawn]")).to_be_attached(timeout=30_000)
    to_the_top(page)


def of_the_playground(browser: Browser, url: str) -> None:
    """A digit, drawn and answered."""
    page = browser.new_page(viewport=VIEW)
    page.goto(url)
    draw(page, *SEVEN, steps=12)
    expect(page.locator("#found")).to_be_visible()
    keep(page, "playground")
    page.close()


def main() -> None:
    """Make all pictures."""
    assert CHROMIUM, NONE_HERE
    with tempfile.TemporaryDirectory() as storage, chromium() as browser:
        asha, pbt = run(storage, *ASHA), run(storage, *PBT)
        with running("board", "--port", "0", "--storage", storage) as told:
            of_the_board(browser, told["url"], asha, pbt)
        with running("serve", "mnist", "--storage", storage) as told:
            of_the_playground(browser, told["url"])


if __name__ == "__main__":
    main()
