"""Ray Tune's Callback, thin: tells the Conductor of checkpoints, ends and failures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyarrow.fs import FileSelector
from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial

from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.fault import Fault, fault_of, traceback_of
from raytune_app.tuning.machines import is_node_lost


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
        attend: called again and again in the driver's loop with Tune's trials.
    """

    def __init__(
        self, conductor: Conductor, tune_root: str, tune_folder: str, attend: Callable[[list[Trial]], None]
    ) -> None:
        self.conductor = conductor
        self._attend = attend
        self._tune_root = tune_root
        self._tune_folder = tune_folder

    @guarded
    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._attend(trials)

    @guarded
    def on_checkpoint(
        self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Checkpoint, **info: Any
    ) -> None:
        inside = str(checkpoint.path).removeprefix(self._tune_root).lstrip("/")
        epoch = trial.last_result["row"]["epoch"]
        self.conductor.saved(trial.config["trial"], epoch, f"{self._tune_folder}/{inside}", _size_mb(checkpoint))

    @guarded
    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.conductor.ended(trial.config["trial"])

    @guarded
    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        text = _error_text(trial.error_file)
        last = text.strip().splitlines()[-1:] or ["the trial's process died"]
        fault = fault_of(text)
        if fault is Fault.PROCESS and is_node_lost(trial.node_ip):
            fault = Fault.NODE  # Ray itself finds out later, and says until then that the process is away
        self.conductor.failed(trial.config["trial"], fault, last[0], traceback_of(text))

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles callbacks into its own cache; the event log is the truth, so nothing of ours goes in."""
        return {}


def _error_text(error_file: str | None) -> str:
    """What Tune has just written beside the driver of the latest failure."""
    return Path(error_file).read_text(errors="replace") if error_file else ""


def _size_mb(checkpoint: Checkpoint) -> float:
    files = checkpoint.filesystem.get_file_info(FileSelector(str(checkpoint.path), recursive=True))
    return float(sum(file.size or 0 for file in files) / 2**20)
