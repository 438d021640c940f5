"""Ray Tune's TrialScheduler and Stopper, thin: both ask the Conductor."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.stopper import Stopper

from raytune_app.tuning.conductor import Conductor

ROW = "row/"
"""Before each field of our report: Ray flattens what a trial returns, and puts its own beside it."""

OUTPUT = "output"
"""Beside the report: what the trial's own code printed meanwhile."""


class ConductedScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped
    """Starts stints in order and ends those that the Conductor ends."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self._conductor = conductor

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        saves = bool(result["should_checkpoint"])
        row = {key.removeprefix(ROW): value for key, value in result.items() if key.startswith(ROW)}
        number = trial.config["trial"]
        try:
            if result[OUTPUT]:
                self._conductor.printed(number, int(row["epoch"]), result[OUTPUT])
            goes_on = self._conductor.reported(number, row, saves=saves)
        except Exception as error:  # noqa: BLE001  # a full disk, say: `run_trials` raises it again, Ray would bury it
            self._conductor.fail(error)
            goes_on = False
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles the scheduler into its own cache; the event log is the truth, so nothing of ours goes in."""
        return {}


class ConductedStopper(Stopper):  # type: ignore[misc]  # Ray is untyped
    """Ends the whole study once nothing is left to do."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Single trials are the scheduler's affair."""
        return False

    def stop_all(self) -> bool:
        return self._conductor.may_stop

    def __getstate__(self) -> dict[str, Any]:
        return {}
