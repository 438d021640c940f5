"""A user's own training in the place of ours: `trial: module:function`, it yields metrics after each epoch."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from raytune_app.data.arrays import Training
from raytune_app.errors import InputError
from raytune_app.spec.grammar import Experiment
from raytune_app.training.patience import Patience
from raytune_app.training.state import State, read_files, write_files

RESERVED = frozenset(
    {
        *("epoch", "diverged", "finished", "epoch_s"),  # a row's own
        *("event", "time", "trial", "decision", "rung", "host", "pid"),  # the event log's
        *("config", "done", "should_checkpoint", "training_iteration", "trial_id"),  # what a row travels with
    }
)
"""Names that a user's metrics cannot have."""


@dataclass(frozen=True, slots=True)
class TrialContext:
    """All that a user's training is told.

    Processes are used again for other trials, so everything random should follow from `seed` (and `epoch`), as in
    `torch.manual_seed(context.seed)`, and nothing should be kept outside the function.

    Attributes:
        params: the experiment's `params`, a value in the place of each domain.
        experiment: all of it, resolved; `train.epochs` is how many mappings will be asked for.
        data: training and validation part, uint8 [N, C, H, W] with int64 labels [N]; read-only.
        device: where to train.
        seed: another one for each trial, and for each time a configuration is trained again to confirm it.
        folder: for files of its own. They are saved with each checkpoint as they are when a mapping is yielded; after
            a resume they are there again.
        epoch: epochs done before: 0, or the one whose files lie in `folder` and after which to go on.
    """

    params: dict[str, Any]
    experiment: Experiment
    data: Training
    device: torch.device
    seed: int
    folder: Path
    epoch: int


class UserRun:
    """Runs a user's generator, one mapping an epoch, and checks all that it yields.

    The training is over after `train.epochs` mappings, when patience ends, when an objective is not finite (it has
    diverged), or when the generator returns. Since nobody can know beforehand that it will, the last row then comes
    once more, with the same `epoch` and with `finished`.

    Args:
        experiment: resolved, with `trial`.
        data: the training and validation parts.
        seed: handed on to the user's function.
        device: likewise.
        folder: likewise; empty or not there yet.

    Raises:
        InputError: the module cannot be imported or has no such function.
    """

    def __init__(
        self, experiment: Experiment, data: Training, *, seed: int, device: torch.device, folder: Path
    ) -> None:
        assert experiment.trial is not None, "an experiment without `trial`"
        assert not folder.is_dir() or not any(folder.iterdir()), f"{folder} is not empty"
        folder.mkdir(parents=True, exist_ok=True)
        self.epoch = 0
        self._reference, self._function = experiment.trial, _import(experiment.trial)
        self._experiment, self._data, self._seed, self._device = experiment, data, seed, device
        self._folder, self._patience = folder, Patience(experiment)
        self._last: dict[str, int | float] = {}
        self._rows: Iterator[object] | None = None

    def train_epoch(self) -> dict[str, Any]:
        """Train until the generator yields. Raises InputError if it yields no metrics, and what it raises itself."""
        started = time.perf_counter()
        rows = self._rows = self._rows or self._begin()
        try:
            metrics = self._checked(next(rows))
        except StopIteration:
            return self._over(time.perf_counter() - started)
        self.epoch, self._last = self.epoch + 1, metrics
        diverged = not all(math.isfinite(metrics[str(each.metric)]) for each in self._experiment.objectives)
        is_over = self._patience.is_over(metrics[str(self._experiment.objective.metric)], self.epoch)
        finished = diverged or is_over or self.epoch >= self._experiment.train.epochs
        return self._row(diverged=diverged, finished=finished, epoch_s=time.perf_counter() - started)

    def state(self) -> State:
        """The epoch and the user's files. Raises InputError if there is a link among them."""
        values = {"epoch": self.epoch, "best": self._patience.state(), "last": self._last}
        return State({}, values, read_files(self._folder))

    def load_state(self, state: State) -> None:
        """Put the files back; the function begins anew with `epoch` and this run's own `params`."""
        self._rows = None
        write_files(self._folder, state.files)
        self.epoch, self._last = int(state.values["epoch"]), dict(state.values["last"])
        self._patience.load_state(state.values["best"])

    def _begin(self) -> Iterator[object]:
        context = TrialContext(
            params=dict(self._experiment.params),
            experiment=self._experiment,
            data=self._data,
            device=self._device,
            seed=self._seed,
            folder=self._folder,
            epoch=self.epoch,
        )
        rows = self._function(context)
        if not isinstance(rows, Iterator):
            raise self._refusal(
                f"returned {_shown(rows)}, not a generator", "yield one mapping an epoch, do not return"
            )
        return rows

    def _row(self, *, diverged: bool, finished: bool, epoch_s: float) -> dict[str, Any]:
        return {**self._last, "epoch": self.epoch, "epoch_s": epoch_s, "diverged": diverged, "finished": finished}

    def _over(self, epoch_s: float) -> dict[str, Any]:
        if not self._last:
            raise self._refusal("ended without a yield", "yield one mapping of metrics an epoch")
        return self._row(diverged=False, finished=True, epoch_s=epoch_s)

    def _checked(self, row: object) -> dict[str, int | float]:
        """The row as plain numbers."""
        yielded = f"yielded {_shown(row)} after epoch {self.epoch + 1}"
        if not isinstance(row, Mapping):
            raise self._refusal(yielded, "yield a mapping of names to numbers, such as {'accuracy': 0.9}")
        for name, value in row.items():
            if not isinstance(name, str) or not name:
                raise self._refusal(f"{yielded}: {name!r} is no name", "name each metric by a string")
            if name in RESERVED:
                raise self._refusal(f"{yielded}: {name!r} is a name of the study's own", "choose another name")
            if isinstance(value, bool) or not isinstance(value, int | float):
                kind = type(value).__name__
                raise self._refusal(f"{yielded}: {name!r} is a {kind}, not a number", f"yield float({name})")
        wanted = [str(each.metric) for each in self._experiment.objectives]
        if missing := [name for name in wanted if name not in row]:
            raise self._refusal(f"{yielded}, without the objective {', '.join(missing)}", "yield it after every epoch")
        return {name: float(value) if isinstance(value, float) else int(value) for name, value in row.items()}

    def _refusal(self, fault: str, remedy: str) -> InputError:
        return InputError(f"trial {self._reference} {fault}", remedy)


def _import(reference: str) -> Callable[[TrialContext], object]:
    module, _, name = reference.partition(":")
    try:
        function: Callable[[TrialContext], object] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise InputError(f"trial {reference}: {error}", "run beside the module or set PYTHONPATH") from error
    except AttributeError as error:
        raise InputError(f"trial {reference}: {module} has no {name}", "name a function of that module") from error
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        raise InputError(
            f"trial {reference}: the import raised {type(error).__name__}: {first_line}", "mend it"
        ) from error
    return function


def _shown(value: object) -> str:
    """What a person recognises it by, on one line and not too long."""
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 120 else text[:117] + '...'} ({type(value).__name__})"
