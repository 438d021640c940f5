"""The page's modules as one script: what a file that is opened from disk can run."""

from __future__ import annotations

import re
from collections.abc import Mapping

_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./([\w.]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """One script that does what the module `entry` does; each module is a function that returns its exports.

    Args:
        modules: their texts by file name. They import names from each other, one line for each module and not in a
            circle, and export functions, classes and constants where they are declared.

    Raises:
        KeyError: a module is not there.
    """
    parts: dict[str, str] = {}
    _add(entry, modules, parts)
    return f'"use strict";\n{"".join(parts.values())}'


def _add(name: str, modules: Mapping[str, str], parts: dict[str, str]) -> None:
    if name in parts:
        return
    text = modules[name]
    for _, needed in _IMPORT.findall(text):
        _add(needed, modules, parts)
    exports = ", ".join(_EXPORT.findall(text))
    text = _IMPORT.sub(lambda found: f"const {{ {found[1]} }} = {_variable(found[2])};", text)
    text = _EXPORT.sub("", text)
    parts[name] = f"const {_variable(name)} = (() => {{\n{text.rstrip()}\nreturn {{ {exports} }};\n}})();\n"


def _variable(name: str) -> str:
    return "module_" + name.removesuffix(".js")
