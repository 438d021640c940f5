"""Reads a user's own training without running it, so that a study is refused before it starts, not in every trial."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from raytune_app.errors import InputError

_SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef


def check_user_training(reference: str, code_paths: Sequence[str], *, needs_seed: bool) -> None:
    """Check that `module:function` is there and is a generator function of one argument; nothing of it is imported.

    Args:
        reference: as in `trial:` of the experiment file.
        code_paths: folders in which the trials look for modules after those of Python itself.
        needs_seed: configurations will be trained again with fresh seeds, so the function has to read its seed.

    Raises:
        InputError: saying what is missing, and where.
    """
    module, _, name = reference.partition(":")
    path = _source(reference, module, code_paths)
    function = _function(reference, path, name)
    where = f"trial {reference}: {name} ({path}, line {function.lineno})"
    if isinstance(function, ast.AsyncFunctionDef):
        raise InputError(f"{where} is asynchronous", "write `def`, not `async def`")
    if not any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own(function)):
        raise InputError(f"{where} yields nothing", "yield one mapping of metrics after each epoch")
    context = _context(function)
    if context is None:
        raise InputError(f"{where} cannot be called with one argument", f"write `def {name}(context):`")
    if needs_seed and not _may_read_seed(function, context):
        raise InputError(
            f"{where} never reads {context}.seed, so the fresh seeds of `confirm` would train the same again",
            f"begin with `torch.manual_seed({context}.seed)`, or remove `confirm`",
        )


def _source(reference: str, module: str, code_paths: Sequence[str]) -> Path:
    """The file of the module; parent packages are looked into, not imported."""
    importlib.invalidate_caches()
    first, *rest = module.split(".")
    name, spec = first, _top(first, code_paths)
    for part in rest:
        if spec is not None:
            name = f"{name}.{part}"
            spec = PathFinder.find_spec(part, list(spec.submodule_search_locations or ()))
    if spec is None:
        raise InputError(
            f"trial {reference}: there is no module {name} in {', '.join(code_paths) or 'the import path'}",
            "run beside the module or set PYTHONPATH",
        )
    path = Path(spec.origin or "")
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"trial {reference}: {module} is no Python file", "name a module with a .py file")
    return path


def _top(name: str, code_paths: Sequence[str]) -> ModuleSpec | None:
    spec = PathFinder.find_spec(name, [*sys.path, *code_paths])
    if spec is None and name in sys.modules:
        return sys.modules[name].__spec__
    return spec or importlib.util.find_spec(name)  # finders beside the path: editable installs


def _function(reference: str, path: Path, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        raise InputError(f"trial {reference}: {path} is no valid Python: {error}", "mend it") from error
    functions = (node for node in _own(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    found = [function for function in functions if function.name == name]
    if not found:
        raise InputError(f"trial {reference}: {path} defines no function {name}", "write it there, at the top level")
    return found[-1]


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """All below `scope`, but nothing inside the functions and classes defined there."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, _SCOPES):
            yield from _own(node)


def _context(function: ast.FunctionDef) -> str | None:
    """The name of the only argument that has to be given by position; None if that is not what the function takes."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    if not positional or required > 1 or None in arguments.kw_defaults:
        return None
    return positional[0].arg


def _may_read_seed(function: ast.FunctionDef, context: str) -> bool:
    """False only if it certainly does not: it neither reads `context.seed` nor hands the context on to anyone."""
    read = {id(node.value): node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    uses = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == context]
    return any(read.get(id(node), "seed") == "seed" for node in uses)
