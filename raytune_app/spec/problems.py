"""Pydantic's errors in our four parts: path, value, rule, remedy, with the near-miss for a misspelled name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from raytune_app.errors import Problem
from raytune_app.spec import grammar
from raytune_app.spec.domains import Kind, UnknownDomainError

_OWN_LEVELS = re.compile(r"(constrained-)?(float|int|str)|literal\[.*\]|function-.*|\[key\]")
"""Levels of pydantic's path that the file does not have: branches of a union, and the mark of a key."""

_NEAR_MISS = "did you mean"
_SECTIONS: dict[str, type[grammar.Section]] = {
    "data": grammar.DataSpec,
    "pick": grammar.PickSpec,
    "folds": grammar.FoldsSpec,
    "confirm": grammar.ConfirmSpec,
    "parallel": grammar.ParallelSpec,
    "failures": grammar.FailuresSpec,
    "keep": grammar.KeepSpec,
    "train": grammar.TrainSpec,
    "augment": grammar.AugmentSpec,
    "objective": grammar.ObjectiveSpec,
    "search": grammar.SearchSpec,
    "resources": grammar.ResourcesSpec,
    "budget": grammar.BudgetSpec,
    "register": grammar.RegisterSpec,
    "tutorial_cnn": grammar.TutorialCnnSpec,
    "conv_net": grammar.ConvNetSpec,
    "text_cnn": grammar.TextCnnSpec,
    "text_bag": grammar.TextBagSpec,
    "text_char_cnn": grammar.TextCharCnnSpec,
    "tokens": grammar.TokensSpec,
    "custom": grammar.CustomModelSpec,
    "fifo": grammar.FifoSpec,
    "none": grammar.NoModelSpec,
    "asha": grammar.AshaSpec,
    "asha_promotion": grammar.AshaPromotionSpec,
    "hyperband": grammar.HyperbandSpec,
    "median": grammar.MedianSpec,
    "pbt": grammar.PbtSpec,
    "pb2": grammar.Pb2Spec,
}


def to_problem(entry: Any) -> Problem:
    """One entry of `pydantic.ValidationError.errors()` as a Problem."""
    location = tuple(entry["loc"])
    path = _path(location)
    context = entry.get("ctx", {})
    if entry["type"] == "extra_forbidden":
        return Problem(path, repr(location[-1]), "unknown key", _near_key(location))
    if entry["type"] == "missing":
        return Problem(path, "missing", "is required", f"add `{location[-1]}:`")
    if entry["type"] == "union_tag_not_found":
        return Problem(f"{path}.name", "missing", "is required", "add `name:`")
    if entry["type"] == "union_tag_invalid":
        tags = re.findall(r"'([^']*)'", context["expected_tags"])
        return Problem(
            f"{path}.name", repr(context["tag"]), f"must be one of {', '.join(tags)}", _near(context["tag"], tags)
        )
    if entry["type"] in ("model_attributes_type", "model_type", "dict_type"):
        return Problem(path, _short(entry["input"]), "must be a mapping", "write `key: value` lines below it")
    return _wrong_value(path, entry["input"], entry["msg"], context)


def _wrong_value(path: str, value: Any, message: str, context: dict[str, Any]) -> Problem:
    error = context.get("error")
    if isinstance(error, UnknownDomainError):
        return Problem(path, _short(value), str(error), _near(error.name, [kind.value for kind in Kind]))
    if error is None and isinstance(value, Mapping):
        return Problem(path, _short(value), "must be one value; this key takes no search domain", "give one value")
    rule = str(error) if error else message[:1].lower() + message[1:]
    choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    return Problem(path, _short(value), rule, _near(str(value), choices))


def unique(problems: Sequence[Problem]) -> list[Problem]:
    """One problem a path: a union reports its branches one by one; the branch with a near-miss says most."""
    kept: dict[str, Problem] = {}
    for problem in problems:
        if problem.path not in kept or problem.remedy.startswith(_NEAR_MISS):
            kept[problem.path] = problem
    return list(kept.values())


def _path(location: tuple[str | int, ...]) -> str:
    parts = [str(part) for part in location]
    if len(parts) > 1 and parts[0] in ("model", "scheduler"):
        del parts[1]  # the discriminator's own level
    if len(parts) > 1 and parts[0] == "objective" and parts[1] == "0":
        del parts[1]  # a single objective is a mapping in the file
    return ".".join(part for part in parts if not _OWN_LEVELS.fullmatch(part)) or "the file"


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _near(word: str, choices: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"{_NEAR_MISS} {close[0]!r}?" if close else "change the value"


def _near_key(location: tuple[str | int, ...]) -> str:
    section = _SECTIONS[str(location[-2])] if len(location) > 1 else grammar.Experiment
    names = [field.alias or name for name, field in section.model_fields.items()]
    close = difflib.get_close_matches(str(location[-1]), names, n=1, cutoff=0.5)
    return f"{_NEAR_MISS} {close[0]!r}?" if close else f"remove it; known keys: {', '.join(names)}"
