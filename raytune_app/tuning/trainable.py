"""Ray Tune's Trainable, thin: one `step` is one epoch of a learner; the process stays warm between stints.

What a trial receives is here in full: a resolved experiment, the training and validation parts, a speed. The test part
is not among it.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ray import tune

from raytune_app.cluster.shared import check_seen
from raytune_app.data.arrays import Training
from raytune_app.spec import Experiment, parse, resolve
from raytune_app.storage import Storage
from raytune_app.training.learner import Learner, build_learner
from raytune_app.training.speed import Speed
from raytune_app.training.state import State
from raytune_app.tuning.checkpoint import read_state, write_state
from raytune_app.tuning.printed import Printed
from raytune_app.tuning.stint import Stint

if TYPE_CHECKING:
    from raytune_app.tuning.parallel import Workers


@dataclass(frozen=True, slots=True)
class TrialInput:
    """What every trial of a study shares; it travels through Ray's object store once a node, arrays uncopied.

    Attributes:
        experiment: with its domains.
        storage_uri, folder: where the study is: checkpoints are relative to it.
        cpus, gpus: of one trial.
        code_paths: folders from which a user's own modules may be imported.
    """

    experiment: dict[str, Any]
    data: Training
    speed: Speed
    storage_uri: str
    folder: str
    cpus: int
    gpus: float
    code_paths: tuple[str, ...] = ()


def make_importable(paths: Sequence[str]) -> None:
    """Let a user's own modules be found in these folders, after everything else."""
    sys.path.extend(path for path in paths if path not in sys.path)


def name_process(title: str) -> None:
    """Show what a worker process does right now in `ps`, `nvidia-smi` and the process table of Ray's dashboard.

    Ray names the process after the method again as soon as that returns.
    """
    from ray import _raylet

    # Ray's own, which its stub leaves out: two libraries must not both move the process's arguments.
    _raylet.setproctitle(f"ray::{title}")  # type: ignore[attr-defined]


class TrialTrainable(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
    """Trains the stint that its configuration is."""

    _learner: Learner

    def setup(self, config: dict[str, Any], shared: TrialInput) -> None:
        check_seen(shared.storage_uri, shared.folder)  # before `Storage` makes an empty folder here
        make_importable(shared.code_paths)
        torch.set_num_threads(shared.cpus)
        self._shared = shared
        self._experiment = parse(shared.experiment)
        self._studies = Storage(shared.storage_uri)
        self._study = shared.folder.rpartition("/")[2]
        self._files = Path(tempfile.mkdtemp(prefix="raytune-trial-")) / "files"
        self._workers: Workers | None = None
        self._take(Stint(**config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._take(Stint(**new_config))
        return True

    def __repr__(self) -> str:
        """In Ray's dashboard and state API; Ray asks once, as the process starts, and it then serves many trials."""
        return f"{self._study}/slot-{os.getpid()}"

    def step(self) -> dict[str, Any]:
        name_process(f"{self._study}/{self._stint}")
        with Printed() as printed:
            row = self._learner.train_epoch()
        where = {"host": platform.node(), "pid": os.getpid()}
        return {"row": {**row, **where}, "should_checkpoint": not row["diverged"], "output": printed.text}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        write_state(self._learner.state(), Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Never called: a stint names the state it begins from itself."""

    def cleanup(self) -> None:
        if self._workers is not None:
            self._workers.stop()
        shutil.rmtree(self._files.parent, ignore_errors=True)

    def _take(self, stint: Stint) -> None:
        self._stint = stint.name
        self._begin(stint)

    def _begin(self, stint: Stint) -> None:
        experiment = resolve(self._experiment, stint.values)
        if not stint.folds:
            experiment = experiment.model_copy(update={"folds": None})
        self._learner = self._build(experiment, stint)
        if stint.checkpoint is not None:
            state = read_state(self._studies, f"{self._shared.folder}/{stint.checkpoint}")
            at_epoch = {**state.values, "epoch": stint.epoch}  # a copy goes on at its own epoch
            self._learner.load_state(State(state.tensors, at_epoch, state.files))

    def _build(self, experiment: Experiment, stint: Stint) -> Learner:
        shared = self._shared
        if experiment.parallel is not None:
            from raytune_app.tuning.parallel import TrainedInParallel, Workers

            self._workers = self._workers or Workers(shared)
            return TrainedInParallel(self._workers, stint.values, stint.seed)
        gpus = shared.gpus if stint.gpus is None else stint.gpus
        device = torch.device("cuda" if gpus else "cpu")
        if 0 < gpus < 1 and torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(gpus)  # Ray only counts shares; this is what keeps to them
        shutil.rmtree(self._files, ignore_errors=True)
        return build_learner(
            experiment, shared.data, seed=stint.seed, device=device, speed=shared.speed, folder=self._files
        )
