"""A study that goes on may change how much is done, and nothing about what was done already."""

from typing import Any

import pytest

from raytune_app.errors import InputError
from raytune_app.spec import Experiment, parse
from raytune_app.spec.reading import merge
from raytune_app.tuning.edit import check_edit

CONTENT: dict[str, Any] = {
    "name": "e",
    "data": {"name": "mnist"},
    "model": {"name": "tutorial_cnn"},
    "train": {"lr": {"loguniform": [1e-4, 1e-1]}},
    "scheduler": {"name": "asha"},
    "trials": 8,
}


def _edited(changes: dict[str, Any], **base: Any) -> tuple[Experiment, Experiment]:
    return parse(CONTENT | base), parse(merge(CONTENT | base, changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trials": 20}, {"trials": (8, 20)}),
        ({"budget.epochs": 50}, {"budget.epochs": (None, 50)}),
        ({"resources.concurrent": 1, "keep.top_k": 5}, {"keep.top_k": (3, 5), "resources.concurrent": (None, 1)}),
        ({"confirm": {"top_k": 2, "seeds": 2}}, {"confirm": (None, {"top_k": 2, "seeds": 2, "baseline": True})}),
        ({}, {}),
    ],
)
def test_what_is_safe_applies_and_is_told(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    found = check_edit(*_edited(changes))
    if "confirm" in changes:
        assert all(path.startswith("confirm") for path in found) and found
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"train.lr": 0.1}, "train.lr"),
        ({"train.epochs": 20}, "train.epochs: 10 -> 20"),
        ({"scheduler.reduction": 4}, "scheduler.reduction: 3 -> 4"),
        ({"data.validation": 0.2, "trials": 20}, "data.validation: 0.1 -> 0.2"),
    ],
)
def test_what_would_change_the_meaning_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match="cannot change any more") as caught:
        check_edit(*_edited(changes))
    assert named in caught.value.message


def test_hyperband_cannot_get_more_trials_since_its_brackets_are_dealt() -> None:
    with pytest.raises(InputError, match="trials: 8 -> 20"):
        check_edit(*_edited({"trials": 20}, scheduler={"name": "hyperband"}))


def test_fewer_trials_are_refused() -> None:
    with pytest.raises(InputError, match="fewer"):
        check_edit(*_edited({"trials": 4}))
