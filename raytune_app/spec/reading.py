"""From an experiment file to an Experiment, or to every one of its mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from raytune_app.errors import InputError, Problem, SpecError
from raytune_app.spec.grammar import Experiment
from raytune_app.spec.problems import to_problem, unique
from raytune_app.spec.rules import cross_check

MAX_SPEC_BYTES = 1_000_000
_CHECK = "mend them and run `raytune check` again"


def load(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file and apply `a.b=c` overrides, each value read as YAML.

    Raises:
        SpecError: every mistake in the file at once.
        InputError: the file cannot be read, is over 1 MB, or is not a YAML mapping.
    """
    return parse(merge(read_mapping(path), _parse_overrides(overrides)))


def parse(content: Mapping[str, Any]) -> Experiment:
    """Validate a mapping as an experiment. Raises SpecError with every mistake at once."""
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        raise SpecError(unique([to_problem(entry) for entry in error.errors()]), _CHECK) from error
    if problems := cross_check(experiment):
        raise SpecError(problems, _CHECK)
    return experiment


def resolve(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """The experiment of one trial: `values`, by dotted path (`train.lr`), in the place of the domains.

    Raises:
        SpecError: a value is not allowed where it is put, or a domain is left without a value.
    """
    missing = experiment.domains().keys() - values.keys()
    if missing:
        raise SpecError([Problem(path, "a domain", "needs a value", "give one") for path in sorted(missing)])
    return parse(merge(experiment.to_dict(), values))


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The file as a YAML mapping, unvalidated. Raises InputError."""
    file = Path(path)
    try:
        if file.stat().st_size > MAX_SPEC_BYTES:
            raise InputError(f"{path} is over 1 MB", "an experiment file is a page of YAML; is this the right file?")
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "give the path of an experiment file") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}", "mend the line it names") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{path} is not a YAML mapping", "start from a file in experiments/")
    return content


def merge(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `content` with each `values['a.b.c']` put at content[a][b][c]."""
    merged = dict(content)
    for path, value in values.items():
        head, _, rest = path.partition(".")
        below = merged.get(head)
        merged[head] = merge(below if isinstance(below, Mapping) else {}, {rest: value}) if rest else value
    return merged


def _parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    parsed = {}
    for override in overrides:
        path, equals, text = override.partition("=")
        if not (path and equals):
            raise InputError(f"--set {override!r} is not of the form a.b=c", "for example --set train.lr=0.01")
        try:
            parsed[path] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"--set {override!r}: the value is not YAML", "quote it in the shell") from error
    return parsed


