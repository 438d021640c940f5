"""The experiment file as YAML: read whole, within limits, so that no file can stall or crash the program.

Beyond plain YAML: a key that stands twice is refused (the first would be lost silently), and so is a page whose aliases
unfold to more values than anyone writes by hand.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from raytune_app.errors import InputError

MAX_BYTES = 1_000_000
MAX_VALUES = 10_000
MAX_INTEGER_BITS = 64
_TOO_LONG = "an experiment file is a page of YAML; is this the right file?"


def read_document(path: str | Path) -> dict[str, Any]:
    """The file as a YAML mapping, unvalidated. Raises InputError."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: {reason}", "give the path of an experiment file") from error
    if len(text) > MAX_BYTES:
        raise InputError(f"{path} is over 1 MB", _TOO_LONG)
    return check_size(parse_yaml(text, str(path)), str(path))


def parse_yaml(text: bytes | str, source: str) -> Any:
    """The value of a YAML text. Raises InputError naming `source` and the line."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader
    except RecursionError as error:
        raise InputError(f"{source} is nested too deeply", _TOO_LONG) from error
    except (yaml.YAMLError, ValueError, AttributeError, LookupError) as error:  # the last three: no such date or number
        raise InputError(
            f"{source} is not YAML: {_reason(error)}", "mend it, or start from a file in experiments/"
        ) from error


def check_size(content: Any, source: str) -> dict[str, Any]:
    """Return `content` if it is a mapping with string keys that a person could have written. Raises InputError."""
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{source} is not a YAML mapping", "start from a file in experiments/")
    for count, value in enumerate(_values(content), start=1):
        if count > MAX_VALUES:
            raise InputError(f"{source} holds more than {MAX_VALUES} values", _TOO_LONG)
        if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
            raise InputError(f"{source} holds a whole number of over {MAX_INTEGER_BITS} bits", "write a smaller one")
    return dict(content)


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())


def _values(content: Any) -> Iterator[Any]:
    """Every value, aliases unfolded; lazily, since they may unfold without end."""
    waiting = [iter([content])]
    while waiting:
        value = next(waiting[-1], _END)
        if value is _END:
            waiting.pop()
            continue
        yield value
        if isinstance(value, Mapping):
            waiting.append(iter([*value.keys(), *value.values()]))
        elif isinstance(value, list | tuple | set):
            waiting.append(iter(value))


_END = object()


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, less keys that stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  # its base's signature
        """The mapping of a node. Raises ConstructorError for a key that stands twice."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                message = f"the key {key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, message, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
