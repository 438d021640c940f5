"""The arrows between the rooms go one way, and no file or function grows past reading."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for room in ("raytune_app", "serving") for path in (ROOT / room).rglob("*.py"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40

RAY_ROOMS = ("raytune_app.tuning", "raytune_app.cluster", "raytune_app.endpoint", "raytune_app.jobs", "serving")
"""The only modules that may import Ray."""

FORBIDDEN = [
    # who, may not import
    ("raytune_app", ["serving"]),
    ("serving", ["raytune_app.tuning", "raytune_app.jobs", "raytune_app.cli", "raytune_app.board"]),
    *[
        (f"raytune_app.{room}", ["torch", "torchvision", "ray", "raytune_app.tuning", "raytune_app.training"])
        for room in ("spec", "storage", "filesystem", "appended", "names", "registry", "errors")
    ],
    *[
        (f"raytune_app.{room}", ["ray", "raytune_app.tuning", "raytune_app.cli", "raytune_app.storage"])
        for room in ("data", "models", "training")
    ],
    ("raytune_app.data", ["raytune_app.models", "raytune_app.training"]),
    ("raytune_app.models", ["raytune_app.training"]),
    ("raytune_app.tuning", ["raytune_app.cli", "raytune_app.board", "raytune_app.endpoint"]),
    ("raytune_app.rollout", ["torch", "ray", "raytune_app.endpoint", "raytune_app.tuning"]),
    ("raytune_app.board", ["torch", "ray", "raytune_app.cli", "raytune_app.endpoint"]),
    ("raytune_app.display", ["torch", "ray", "raytune_app.cli", "raytune_app.board", "raytune_app.endpoint"]),
    *[(f"raytune_app.{room}", ["raytune_app.cli"]) for room in ("cluster", "endpoint", "rollout")],
    ("raytune_app.cluster", ["torch", "raytune_app.jobs", "raytune_app.tuning"]),
    ("raytune_app.cluster.check", ["ray", "httpx", "raytune_app.storage"]),  # pure: it is fed
]


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def _imports(path: Path) -> frozenset[str]:
    """Every module the file imports, also inside functions: `from a import b` counts as `a` and `a.b`."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def _within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, its docstring not counted."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_the_rooms_were_seen_whole() -> None:
    rooms = {path.relative_to(ROOT).parts[1] for path in FILES if path.is_relative_to(ROOT / "raytune_app")}
    assert len(FILES) >= 80
    assert {"spec", "data", "models", "training", "tuning", "board", "cli"} <= rooms


@pytest.mark.parametrize(("room", "forbidden"), FORBIDDEN, ids=[room for room, _ in FORBIDDEN])
def test_no_arrow_points_down(room: str, forbidden: list[str]) -> None:
    files = [path for path in FILES if _within(_module(path), room)]
    assert files, f"there is no {room}"
    wrong = {
        f"{_module(path)} imports {name}"
        for path in files
        for name in _imports(path)
        for target in forbidden
        if _within(name, target)
    }
    assert not wrong


def test_only_the_rooms_on_ray_import_ray() -> None:
    importing = {_module(path) for path in FILES if any(_within(name, "ray") for name in _imports(path))}
    assert len(importing) >= 5
    assert not {module for module in importing if not any(_within(module, room) for room in RAY_ROOMS)}


def test_what_must_answer_at_once_loads_neither_torch_nor_ray_even_by_way_of_others() -> None:
    light = ["raytune_app.cli.main", "raytune_app.spec", "raytune_app.storage", "raytune_app.registry"]
    program = f"import sys, {', '.join(light)}; print([m for m in ('torch', 'ray', 'pandas') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_nothing_is_pickled(path: Path) -> None:
    assert not {
        name for name in _imports(path) if name.split(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "shelve")
    }
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "torch.load",
            "torch.save",
            "np.load",
            "numpy.load",
        ):
            assert "weights_only=True" in ast.unparse(node) or "allow_pickle=False" in ast.unparse(node), ast.unparse(
                node
            )


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_no_file_or_function_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    long = {function.name: _body_lines(function) for function in _functions(path)}
    assert not {name: lines for name, lines in long.items() if lines > MAX_FUNCTION_LINES}


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_modules_and_public_functions_and_classes_say_what_they_are_for(path: Path) -> None:
    tree = _tree(path)
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if "overload" not in map(ast.unparse, node.decorator_list)
    ]
    assert ast.get_docstring(tree), "the module has no docstring"
    assert not [node.name for node in public if not ast.get_docstring(node)]


def test_functions_are_short_as_a_rule() -> None:
    lengths = sorted(_body_lines(function) for path in FILES for function in _functions(path))
    assert len(lengths) > 300
    assert lengths[len(lengths) // 2] <= 9
    assert lengths[len(lengths) * 9 // 10] <= 30
