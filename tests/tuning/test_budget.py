"""Each limit is reached when it is, and named."""

import pytest

from raytune_app.spec.grammar import BudgetSpec, ObjectiveSpec
from raytune_app.tuning.budget import Budget


def _budget(devices: float = 1.0, **limits: float) -> Budget:
    return Budget(BudgetSpec.model_validate(limits), ObjectiveSpec(), devices)


def _row(accuracy: float, *, diverged: bool = False) -> dict[str, object]:
    return {"accuracy": accuracy, "epoch_s": 1800.0, "diverged": diverged}


def test_without_limits_nothing_is_ever_spent() -> None:
    budget = _budget()
    for _ in range(100):
        budget.reported(_row(1.0))
        budget.ended(0, 1.0)
    assert budget.spent(wall_s=1e9) is None


def test_device_hours_count_every_device_of_a_trial() -> None:
    budget = _budget(devices=4, device_hours=4.0)
    budget.reported(_row(0.5))
    assert budget.spent(0) is None
    budget.reported(_row(0.5))
    assert budget.spent(0) == "budget: 4 device hours"


def test_a_plateau_is_trials_in_a_row_without_a_better_one() -> None:
    budget = _budget(plateau=2)
    for trial, accuracy in enumerate((0.5, 0.4, 0.6, 0.6)):
        budget.ended(trial, accuracy)
        assert budget.spent(0) is None
    budget.ended(3, 0.6)  # a trial that was paused and then ended counts once
    assert budget.spent(0) is None
    budget.ended(4, None)
    assert budget.spent(0) == "plateau: 2 trials without a better one"


def test_a_diverged_epoch_reaches_no_target() -> None:
    budget = _budget(target=0.9)
    budget.reported(_row(0.99, diverged=True))
    assert budget.spent(0) is None
    budget.reported(_row(0.9))
    assert budget.spent(0) == "target: accuracy 0.9"


@pytest.mark.parametrize(("wall_s", "said"), [(9.9, None), (10.0, "budget: 10 s")])
def test_wall_time_is_what_the_caller_says(wall_s: float, said: str | None) -> None:
    assert _budget(wall_time_s=10).spent(wall_s) == said
