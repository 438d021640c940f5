"""From an experiment file to an Experiment, or to every one of its mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raytune_app.errors import InputError, Problem, SpecError
from raytune_app.spec.document import check_size, parse_yaml, read_document
from raytune_app.spec.grammar import Experiment
from raytune_app.spec.problems import to_problem, unique
from raytune_app.spec.rules import cross_check

_FOLLOWS = "default_factory_not_called"
"""Pydantic's note that a default could not follow from a faulty value, which is reported itself."""
_ONE_TRIAL = {"search": {"name": "random"}, "scheduler": {"name": "fifo"}, "trials": None}
_CHECK = "mend them and run `raytune check` again"


def load(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file and apply `a.b=c` overrides, each value read as YAML.

    Raises:
        SpecError: every mistake in the file at once.
        InputError: the file cannot be read, is over 1 MB, or is not a YAML mapping.
    """
    return parse(merge(read_document(path), parse_overrides(overrides)))


def parse(content: Mapping[str, Any]) -> Experiment:
    """Validate a mapping as an experiment.

    Raises:
        SpecError: every mistake at once.
        InputError: more values, or larger ones, than an experiment can hold.
    """
    content = check_size(content, "the experiment")
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        problems = unique([to_problem(entry) for entry in error.errors() if entry["type"] != _FOLLOWS])
        raise SpecError([*problems, *_beyond(content, problems)], _CHECK) from error
    if problems := cross_check(experiment):
        raise SpecError(problems, _CHECK)
    return experiment


def resolve(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """The experiment of one trial: `values`, by dotted path (`train.lr`), in the place of the domains.

    How values are searched and trials scheduled is no part of it any more.

    Raises:
        SpecError: a value is not allowed where it is put, or a domain is left without a value.
    """
    missing = experiment.domains().keys() - values.keys()
    if missing:
        raise SpecError([Problem(path, "a domain", "needs a value", "give one") for path in sorted(missing)])
    return parse(merge(experiment.to_dict() | _ONE_TRIAL, values))


def merge(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `content` with each `values['a.b.c']` put at content[a][b][c]."""
    merged = dict(content)
    for path, value in values.items():
        head, _, rest = path.partition(".")
        below = merged.get(head)
        merged[head] = merge(below if isinstance(below, Mapping) else {}, {rest: value}) if rest else value
    return merged


def _beyond(content: Mapping[str, Any], problems: Sequence[Problem]) -> list[Problem]:
    """The rules between sections that the faulty values do not touch, so that they are reported in the same go."""
    faulty = [problem.path for problem in problems]
    try:
        experiment = Experiment.model_validate(_without(content, faulty))
    except ValidationError:
        return []  # a required part is missing: nothing to compare
    return cross_check(experiment, faulty)


def _without(content: Mapping[str, Any], paths: Sequence[str], above: str = "") -> dict[str, Any]:
    return {
        key: _without(value, paths, f"{above}{key}.") if isinstance(value, Mapping) else value
        for key, value in content.items()
        if f"{above}{key}" not in paths
    }


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`a.b=c` texts as values by dotted path, each value read as YAML. Raises InputError."""
    parsed = {}
    for override in overrides:
        path, equals, text = override.partition("=")
        if not all(path.split(".")) or not equals:
            raise InputError(f"--set {override!r} is not of the form a.b=c", "for example --set train.lr=0.01")
        parsed[path] = parse_yaml(text, f"the value of --set {override!r}")
    return parsed
