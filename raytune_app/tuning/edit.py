"""What may change about a study that goes on: the difference between two experiments, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raytune_app.errors import InputError
from raytune_app.spec import Experiment
from raytune_app.spec.grammar import HyperbandSpec
from raytune_app.tuning.space import trial_count

SAFE = ("budget", "trials", "resources", "confirm", "keep", "failures", "register")
"""What may change: it decides how much is done, and nothing about what was done already."""
_BY_COUNT = ("pbt", "pb2", "hyperband")
"""Schedulers whose decisions depend on the number of trials from the first one on; one bracket of Hyperband grows."""

Changes = dict[str, tuple[Any, Any]]


def difference(before: Experiment, after: Experiment) -> Changes:
    """The old and the new value of every setting that differs, by dotted path."""
    old, new = _flat(before.to_dict()), _flat(after.to_dict())
    return {
        path: (old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    }


def check_edit(before: Experiment, after: Experiment) -> Changes:
    """The difference. Raises InputError naming every change that would make earlier trials mean something else."""
    changes = difference(before, after)
    refused = [path for path in changes if path.partition(".")[0] not in SAFE]
    if "trials" in changes and before.scheduler.name in _BY_COUNT and not _is_one_bracket(before):
        said = f"trials: {before.trials} -> {after.trials}, but {before.scheduler.name} deals by their number"
        raise InputError(said, "start another study with `raytune run`")
    if refused:
        said = "; ".join(f"{path}: {changes[path][0]} -> {changes[path][1]}" for path in refused)
        remedy = f"a study that goes on may change {', '.join(SAFE)}; for the rest start another with `raytune run`"
        raise InputError(f"these cannot change any more: {said}", remedy)
    if trial_count(after) < trial_count(before):
        said = f"trials: {trial_count(before)} -> {trial_count(after)} is fewer"
        raise InputError(said, "end it earlier by `budget` instead")
    return changes


def _is_one_bracket(experiment: Experiment) -> bool:
    return isinstance(experiment.scheduler, HyperbandSpec) and experiment.scheduler.brackets == 1


def _flat(content: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Values by dotted path; a search domain is one value."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value and not above.count("."):
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = value
    return flat
