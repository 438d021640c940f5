from __future__ import annotations

import sys
from pathlib import Path

import pytest

from raytune_app.errors import InputError
from raytune_app.training.user_code import check_user_training

GOOD = """
    torch.manual_seed(context.seed)
    yield {}
"""


def check(folder: Path, code: str, reference: str = "mine_here:train", *, needs_seed: bool = True) -> None:
    path = folder / (reference.partition(":")[0].replace(".", "/") + ".py")
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(f"raise SystemExit('imported')\n{code}")
    check_user_training(reference, [str(folder)], needs_seed=needs_seed)


@pytest.mark.parametrize(
    "signature",
    ["(context)", "(context, /)", "(context, *more)", "(context, quick=False)", "(context, *, quick=False)"],
)
def test_a_generator_of_one_argument_passes_and_is_not_imported(tmp_path: Path, signature: str) -> None:
    check(tmp_path, f"def train{signature}:{GOOD}")
    check(tmp_path, f"if True:\n  def train{signature}:{GOOD}")
    assert "mine_here" not in sys.modules


def test_a_module_of_a_package_is_found_and_the_package_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "pack_here" / "deep").mkdir(parents=True)
    (tmp_path / "pack_here" / "__init__.py").write_text("raise SystemExit('imported')")
    check(tmp_path, f"def train(context):{GOOD}", "pack_here.deep.mine:train")
    with pytest.raises(InputError, match=r"there is no module pack_here\.no in"):
        check_user_training("pack_here.no.mine:train", [str(tmp_path)], needs_seed=False)


def test_a_module_of_pythons_own_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_too.py").write_text(f"def train(context):{GOOD}")
    monkeypatch.syspath_prepend(str(tmp_path))
    check_user_training("mine_too:train", [], needs_seed=True)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("", "defines no function train"),
        ("train = print", "defines no function train"),
        (f"class Mine:\n  def train(context):{GOOD}", "defines no function train"),
        ("def train(context):\n  return {}", "yields nothing"),
        ("def train(context):\n  def inner():\n    yield {}\n  return inner", "yields nothing"),
        (f"async def train(context):{GOOD}", "is asynchronous"),
        (f"def train():{GOOD}", "cannot be called with one argument"),
        (f"def train(context, other):{GOOD}", "cannot be called with one argument"),
        (f"def train(*, context):{GOOD}", "cannot be called with one argument"),
        (f"def train(context, *, other):{GOOD}", "cannot be called with one argument"),
        ("def train(context:", "no valid Python"),
        (f"def train(context):{GOOD}\ndef train(context): pass", "yields nothing"),
    ],
)
def test_what_cannot_train_is_refused(tmp_path: Path, code: str, fault: str) -> None:
    with pytest.raises(InputError, match=f"trial mine_here:train.*{fault}"):
        check(tmp_path, code, needs_seed=False)


@pytest.mark.parametrize("module", ["no_such_module_2", "sys", "itertools", "json.no_such", "mine_3.below"])
def test_a_module_without_a_file_is_refused(tmp_path: Path, module: str) -> None:
    (tmp_path / "mine_3.py").write_text("")
    with pytest.raises(InputError, match=r"there is no module|is no Python file"):
        check_user_training(f"{module}:train", [str(tmp_path)], needs_seed=False)


@pytest.mark.parametrize(
    ("body", "reads"),
    [
        ("torch.manual_seed(context.seed)", True),
        ("def draw():\n    return context.seed\n  draw()", True),
        ("build(context)", True),
        ("torch.manual_seed(0)", False),
        ("context.params.seed", False),
        ("other.seed", False),
    ],
)
def test_fresh_seeds_need_a_function_that_may_read_its_seed(tmp_path: Path, body: str, *, reads: bool) -> None:
    code = f"def train(context):\n  {body}\n  yield {{}}"
    check(tmp_path, code, needs_seed=False)
    if reads:
        check(tmp_path, code)
    else:
        with pytest.raises(InputError, match=r"never reads context\.seed.*the fresh seeds of `confirm`"):
            check(tmp_path, code)


def test_the_example_passes() -> None:
    folder = Path(__file__).parents[2] / "experiments"
    check_user_training("own_training:train", [str(folder)], needs_seed=True)
