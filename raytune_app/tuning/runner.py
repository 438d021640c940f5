"""Runs the trials of a study on Ray Tune: warm processes, data once per node, decisions by the Conductor."""

from __future__ import annotations

import itertools
import logging
import math
import platform
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.experiment import Trial
from ray.util.placement_group import placement_group_table

from raytune_app.data.arrays import Training
from raytune_app.process import environment, signals_kept
from raytune_app.spec import parse, resolve
from raytune_app.spec.grammar import Experiment
from raytune_app.training.speed import Precision, Speed
from raytune_app.training.timing import choose_speed, peak_gpu_mb
from raytune_app.tuning.beacon import Beacon
from raytune_app.tuning.callback import ConductedCallback
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.machines import machines
from raytune_app.tuning.resources import TrialResources
from raytune_app.tuning.scheduler import ConductedScheduler, ConductedStopper
from raytune_app.tuning.searcher import ConductedSearcher
from raytune_app.tuning.space import is_of_shape, trial_count
from raytune_app.tuning.stint import Stint
from raytune_app.tuning.trainable import TrialInput, TrialTrainable, make_importable

_TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the event log is ours; CSV and JSON loggers slow the driver
    "TUNE_RESULT_BUFFER_LENGTH": "1",  # a decision after every epoch
    "TUNE_GLOBAL_CHECKPOINT_S": "60",  # Tune's own state is a cache
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # our row is one field of Ray's result
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the event log names each trial's error
}


def run_trials(
    shared: TrialInput,
    folder: StudyFolder,
    conductor: Conductor,
    resources: TrialResources,
    trainable: type[TrialTrainable] = TrialTrainable,
    beacon: Beacon | None = None,
) -> None:
    """Train until every trial has ended, the budget is spent, or Ctrl-C; all that happened is in the event log.

    Needs a running Ray. Blocks. SIGINT ends the trials gracefully and returns. Raises what went wrong in the driver, a
    StorageError of a full disk, say, after the trials have ended.

    Args:
        trainable: what one trial does.
        beacon: hears what people ask meanwhile, and tells them who waits.
    """
    name = _free_name(folder)

    def attend(trials: list[Any]) -> None:
        if beacon is not None:
            beacon.attend(resources.slots, lambda: (_pending(trials, resources), machines()))

    callback = ConductedCallback(conductor, folder.storage.full(folder.paths / name), name, attend)
    # Tune installs handlers for these signals and leaves them; what comes after the trials needs its own again.
    with environment(_TUNE_ENVIRONMENT), _quiet("ray.tune"), signals_kept(signal.SIGINT, signal.SIGUSR1):
        tune.Tuner(
            _with_input(trainable, shared, resources),
            tune_config=tune.TuneConfig(
                search_alg=ConductedSearcher(conductor),
                scheduler=ConductedScheduler(conductor),
                num_samples=-1,  # until the Conductor says that all is done
                max_concurrent_trials=resources.slots,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=name,
                storage_path=folder.storage.full(folder.paths.folder),
                storage_filesystem=folder.storage.fs,
                stop=ConductedStopper(conductor),
                callbacks=[callback],
                verbose=0,
            ),
        ).fit()
    if conductor.fault is not None:
        raise conductor.fault


def _with_input(trainable: type[TrialTrainable], shared: TrialInput, resources: TrialResources) -> Any:
    fed = tune.with_parameters(trainable, shared=shared)
    bound = tune.with_resources(fed, lambda stint: _bundles(resources, stint["gpus"]))
    bound.__name__ = bound.__qualname__ = (
        trainable.__name__
    )  # what the dashboard calls the actors' class, not Tune's own
    return bound


def _bundles(resources: TrialResources, gpus: float | None) -> tune.PlacementGroupFactory:
    if resources.workers > 1:  # Ray Train takes the workers' share; Ray wants something, however little, for the trial
        return tune.PlacementGroupFactory([{"memory": 1.0}])
    labels = {"bundle_label_selector": [dict(resources.labels)]} if resources.labels else {}
    return tune.PlacementGroupFactory([resources.bundle(gpus)], **labels)


def _pending(trials: list[Any], resources: TrialResources) -> list[tuple[int | None, dict[str, float]]]:
    """The trials that Ray has no room for yet, and what each asks for; those whose process starts have room."""
    pending = [trial for trial in trials if trial.status == Trial.PENDING]
    starting = _rooms() - sum(trial.status == Trial.RUNNING for trial in trials)
    return [
        (trial.config["trial"], {name: amount * resources.workers for name, amount in bundle.items()})
        for trial in pending[max(0, starting) :]
        for bundle in [resources.bundle(trial.config["gpus"])]
    ]


def _rooms() -> int:
    """How many placement groups of this driver Ray has found room for: Tune makes one a trial."""
    own = ray.get_runtime_context().get_job_id()
    groups = placement_group_table().values()
    return sum(group["state"] == "CREATED" and group["placement_group_id"].endswith(own) for group in groups)


def _trial_name(trial: Any) -> str:
    return Stint(**trial.config).name


def _free_name(folder: StudyFolder) -> str:
    """Of Tune's folder: each process that works on the study has its own, `tune`, `tune-1`, ..."""
    known = folder.storage.folders(folder.paths.folder)
    return next(name for name in (f"tune-{n}" if n else "tune" for n in itertools.count()) if name not in known)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Tune's own words are for its own users; ours see the event log."""
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def measure_speed(
    shared: TrialInput, values: dict[str, Any], resources: TrialResources, precision: Precision | None = None
) -> dict[str, Any]:
    """Choose the training speed where the trials will run, with one trial's share; see `choose_speed`.

    Returns SpeedChoice's fields, with `gpu`, its memory and what the trial took of it, and `host`, the machine's name.

    On a cluster of this machine alone, and without a GPU, that is here: another process would first have to start.
    """
    if not resources.gpus and len([node for node in ray.nodes() if node["Alive"]]) == 1 and _is_driver_on_cluster():
        threads = torch.get_num_threads()
        try:
            return _choose_speed(shared, values, resources, precision)
        finally:
            torch.set_num_threads(threads)
    remote = ray.remote(**_options(resources), max_retries=0)(_choose_speed)
    chosen: dict[str, Any] = ray.get(remote.remote(shared, values, resources, precision))
    return chosen


def _is_driver_on_cluster() -> bool:
    own = ray.get_runtime_context().get_node_id()
    return any(node["NodeID"] == own for node in ray.nodes() if node["Alive"])


def _options(resources: TrialResources) -> dict[str, Any]:
    """One trial's share, as a Ray task asks for it."""
    share = resources.bundle()
    asked = {"num_cpus": share.pop("CPU"), "num_gpus": share.pop("GPU", 0), "memory": share.pop("memory", None)}
    return {**asked, "resources": share, "label_selector": dict(resources.labels) or None}


def same_shape_trainings(experiment: Experiment, slots: int) -> int:
    """How many whole trainings of one and the same shape a trial process will do, which share one compilation.

    One, if the search changes the network or the batch, or if trials are stopped early.
    """
    varies = any(map(is_of_shape, experiment.domains()))
    stops_early = experiment.scheduler.name != "fifo"
    return 1 if varies or stops_early else math.ceil(trial_count(experiment) / slots)


def _choose_speed(
    shared: TrialInput, values: dict[str, Any], resources: TrialResources, precision: Precision | None
) -> dict[str, Any]:
    make_importable(shared.code_paths)
    torch.set_num_threads(shared.cpus)
    device = torch.device("cuda" if shared.gpus else "cpu")
    experiment = parse(shared.experiment)
    trainings = 0 if experiment.parallel else same_shape_trainings(experiment, resources.slots)  # 0: never compiled
    resolved = resolve(experiment, values)
    choice = choose_speed(resolved, shared.data, device, trainings=trainings, precision=precision)
    found = {"speed": choice.speed.to_dict(), "measured": choice.measured, "host": platform.node()}
    return {**found, "gpu": _gpu_memory(resolved, shared.data, device, choice.speed)}


def _gpu_memory(experiment: Experiment, data: Training, device: torch.device, speed: Speed) -> dict[str, float] | None:
    """The most that one trial takes of the GPU, and the GPU's memory; None on a CPU."""
    if device.type != "cuda":
        return None
    total = torch.cuda.get_device_properties(device).total_memory
    return {"peak_mb": peak_gpu_mb(experiment, data, device, speed), "total_mb": total / 2**20}
