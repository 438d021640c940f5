"""Modules become one script that runs in their order; the page's own can be bundled, and has no markup in it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from raytune_app.board.assets import assets, script
from raytune_app.board.bundle import bundle
from raytune_app.tuning.view import TrialState

MODULES = {name: asset.body.decode() for name, asset in assets().items() if name.endswith(".js")}


def test_what_is_needed_comes_before_who_needs_it_and_once() -> None:
    modules = {
        "main.js": 'import { two } from "./b.js";\nimport { One } from "./a.js";\ntwo(One);\n',
        "b.js": 'import { One } from "./a.js";\nexport async function two() {}\nconst own = 1;\n',
        "a.js": "export class One {}\nexport const TEN = 10;\n",
    }
    made = bundle(modules, "main.js")
    assert [made.index(f"module_{name} = (()") for name in ("a", "b", "main")] == sorted(
        made.index(f"module_{name} = (()") for name in ("a", "b", "main")
    )
    assert made.count("class One") == 1
    assert "return { One, TEN };" in made and "const { two } = module_b;" in made
    assert not re.search(r"^(import|export) ", made, re.MULTILINE)


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        bundle({"main.js": 'import { x } from "./gone.js";\n'}, "main.js")


def test_the_page_is_bundled_whole() -> None:
    made = script().body.decode()
    left_out = {name for name in MODULES if f"module_{name.removesuffix('.js')} =" not in made}
    assert left_out == {"frame.js"}
    assert not re.search(r"^(import|export) ", made, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_text_of_a_study_is_never_markup_nor_code(name: str) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser"
    assert not re.search(forbidden, re.sub(r"//.*", "", MODULES[name]))


@pytest.mark.parametrize("name", sorted(assets()))
def test_nothing_of_the_page_names_another_address(name: str) -> None:
    addresses = set(re.findall(r"https?://[\w.]+", assets()[name].body.decode()))
    assert addresses <= {"http://www.w3.org"}  # the name of SVG, which nobody asks for


def test_the_script_cannot_end_the_element_it_stands_in() -> None:
    assert "</script" not in script().body.decode().lower()


def test_every_state_of_a_trial_has_a_colour_in_light_and_in_dark() -> None:
    style = assets()["style.css"].body.decode()
    assert all(style.count(f"--state-{state.value}:") == 2 for state in TrialState)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_modules_are_as_short_as_the_others(name: str) -> None:
    assert len(MODULES[name].splitlines()) <= 300


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_the_bundle_is_a_script(tmp_path: Path) -> None:
    file = tmp_path / "board.js"
    file.write_bytes(script().body)
    subprocess.run(["node", "--check", str(file)], check=True)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
@pytest.mark.parametrize(
    ("low", "high"), [(0.21, 0.48), (2.1, 4.9), (0.0011, 0.0019), (0.5, 0.9), (1e-4, 1.0), (3, 40)]
)
def test_a_logarithmic_axis_has_two_ticks_or_more_each_in_its_place(low: float, high: float) -> None:
    asked = f"module_chart.ticks({{ min: {low}, max: {high}, log: true }}, 8)"
    command = ["node", "-e", f"{bundle(MODULES, 'chart.js')}\nconsole.log(JSON.stringify({asked}));"]
    ticks = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert len(ticks) >= 2
    assert all(low * 0.99 <= value <= high * 1.01 and float(label) == pytest.approx(value) for value, label in ticks)
