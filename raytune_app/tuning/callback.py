"""Ray Tune's Callback, thin: tells the Conductor of starts, checkpoints and ends."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial

from raytune_app.tuning.conductor import Conductor


def guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """Hand an error to the Conductor: Ray swallows what some hooks raise, and the study would go on unwritten."""

    @functools.wraps(hook)
    def run(self: ConductedCallback, *arguments: Any, **information: Any) -> None:
        try:
            hook(self, *arguments, **information)
        except Exception as error:  # noqa: BLE001  # whatever it is, `run_trials` raises it again
            self.conductor.fail(error)

    return run


class ConductedCallback(Callback):  # type: ignore[misc]  # Ray is untyped
    """Carries Tune's events to the Conductor.

    Args:
        conductor: of this study.
        tune_root: where Tune keeps the trials, as its checkpoints' paths spell it.
        tune_folder: the same folder relative to the study's.
        count_parameters: of the network that a configuration describes; None where it cannot be built.
    """

    def __init__(
        self,
        conductor: Conductor,
        tune_root: str,
        tune_folder: str,
        count_parameters: Callable[[dict[str, Any]], int | None],
    ) -> None:
        self.conductor = conductor
        self._count_parameters = count_parameters
        self._tune_root = tune_root
        self._tune_folder = tune_folder
        self._started: set[int] = set()

    @guarded
    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._note_start(trial)

    @guarded
    def on_checkpoint(
        self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Checkpoint, **info: Any
    ) -> None:
        inside = str(checkpoint.path).removeprefix(self._tune_root).lstrip("/")
        self.conductor.saved(trial.config["number"], trial.last_result["epoch"], f"{self._tune_folder}/{inside}")

    @guarded
    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.conductor.ended(trial.config["number"])

    @guarded
    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._note_start(trial)  # a trial whose process never came up has had no start
        self.conductor.ended(trial.config["number"], error=_last_line(trial.error_file))

    def _note_start(self, trial: Trial) -> None:
        number, values = trial.config["number"], trial.config["values"]
        if number not in self._started:
            self._started.add(number)
            self.conductor.started(number, values, self._count_parameters(values))

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles callbacks into its own cache; the event log is the truth, so nothing of ours goes in."""
        return {}


def _last_line(error_file: str | None) -> str:
    """The exception's own line of the traceback that Tune has just written beside the driver."""
    lines = Path(error_file).read_text(errors="replace").strip().splitlines() if error_file else []
    return lines[-1] if lines else "the trial's process died"
