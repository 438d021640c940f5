"""Every state of a trial has a colour."""

from raytune_app.report.figures import COLOURS
from raytune_app.tuning.view import TrialState


def test_every_state_has_a_colour() -> None:
    assert set(COLOURS) == {state.value for state in TrialState}
