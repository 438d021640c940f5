"""Ray Tune's Trainable, thin: one `step` is one epoch of `training.Run`; the process stays warm between trials.

What a trial receives is here in full: a resolved experiment, the training and validation parts, a speed. The test part
is not among it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune
from safetensors.torch import load_file, save_file

from raytune_app.data.arrays import Training
from raytune_app.spec import parse, resolve
from raytune_app.training.run import Run
from raytune_app.training.speed import Speed
from raytune_app.tuning.space import trial_seed

WEIGHTS = "state.safetensors"
VALUES = "state.json"


@dataclass(frozen=True, slots=True)
class TrialInput:
    """What every trial of a study shares; it travels through Ray's object store once a node, arrays uncopied."""

    experiment: dict[str, Any]
    data: Training
    speed: Speed
    cpus: int
    uses_gpu: bool
    code_paths: tuple[str, ...] = ()


def make_importable(paths: Sequence[str]) -> None:
    """Let a user's own modules be found in these folders, after everything else."""
    sys.path.extend(path for path in paths if path not in sys.path)


class TrialTrainable(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
    """Trains the configuration {"number": n, "values": {...}}."""

    _run: Run
    _best: float

    def setup(self, config: dict[str, Any], shared: TrialInput) -> None:
        make_importable(shared.code_paths)
        torch.set_num_threads(shared.cpus)
        self._shared = shared
        self._experiment = parse(shared.experiment)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        result = self._run.train_epoch()
        score = self._sign * getattr(result, self._metric)
        is_best = score > self._best
        self._best = max(score, self._best)
        return {**asdict(result), "should_checkpoint": (is_best or result.finished) and not result.diverged}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        tensors, values = self._run.state()
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, Path(checkpoint_dir) / WEIGHTS)
        (Path(checkpoint_dir) / VALUES).write_text(json.dumps({"run": values, "best": self._best}))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        values = json.loads((Path(checkpoint_dir) / VALUES).read_text())
        self._run.load_state(load_file(Path(checkpoint_dir) / WEIGHTS), values["run"])
        self._best = values["best"]

    def _begin(self, config: dict[str, Any]) -> None:
        experiment = resolve(self._experiment, config["values"])
        objective = experiment.objective
        self._metric, self._sign, self._best = (objective.metric.value, objective.sign, float("-inf"))
        device = torch.device("cuda" if self._shared.uses_gpu else "cpu")
        seed = trial_seed(self._experiment, config["number"])
        self._run = Run(experiment, self._shared.data, seed=seed, device=device, speed=self._shared.speed)
