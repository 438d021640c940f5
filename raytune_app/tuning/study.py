"""One study from experiment to winner: prepare, tune, choose, score on the sealed test part, register."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray

from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_training
from raytune_app.errors import RaytuneError, StudyError
from raytune_app.models.catalog import parameter_count
from raytune_app.spec import Experiment, parse, resolve
from raytune_app.spec.reading import merge
from raytune_app.storage import Storage
from raytune_app.training.run import build_classifier, check_batch
from raytune_app.training.speed import Speed
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.events import EventLog, Observer, StudyState, StudyView, TrialState, finite
from raytune_app.tuning.folder import StudyFolder, create_study
from raytune_app.tuning.resources import TrialResources, allot
from raytune_app.tuning.runner import measure_speed, run_trials
from raytune_app.tuning.space import is_of_shape, suggest, trial_count
from raytune_app.tuning.tables import write_trials
from raytune_app.tuning.trainable import TrialInput, make_importable
from raytune_app.tuning.winner import Winner, choose


@dataclass(frozen=True)
class Prepared:
    """A study that may start: everything that can be refused has been checked."""

    experiment: Experiment
    data: Training
    resources: TrialResources
    folder: StudyFolder
    code_paths: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a study ended; `winner` is None if nothing could be chosen."""

    folder: StudyFolder
    state: StudyState
    reason: str | None
    view: StudyView
    winner: Winner | None


def prepare(experiment: Experiment, storage: Storage, code_paths: Sequence[str] = ()) -> Prepared:
    """Check the experiment against the data, the network and the connected cluster; then make the study's folder.

    Args:
        experiment: with its search domains.
        storage: where the study's folder is made.
        code_paths: folders from which a user's own network may be imported, here and in the trials.

    Raises:
        DataError: the data cannot be read or does not fit the experiment.
        ResourceError: the cluster can never run one trial.
        InputError: the network cannot be built.
        StorageError: the study folder cannot be written.
    """
    make_importable(code_paths)
    experiment = _with_absolute_path(experiment)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    resources = allot(experiment.resources, nodes, trial_count(experiment))
    data = load_training(experiment.data, experiment.seed)
    for variant in _extremes(experiment):
        build_classifier(variant, data)
        check_batch(variant, data)
    folder = create_study(storage, experiment, data.fingerprint)
    return Prepared(experiment, data, resources, folder, tuple(code_paths))


def tune(prepared: Prepared, observers: Sequence[Observer] = ()) -> Outcome:
    """Run the trials and choose the winner; Ctrl-C ends early with what there is.

    Raises:
        StudyError: no trial has a checkpoint with a finite score; the message carries the first trial's error.
    """
    folder, experiment = prepared.folder, prepared.experiment
    log = EventLog(folder.storage, folder.paths, observers)
    log.append("study_started", study=folder.study, trials=trial_count(experiment), epochs=experiment.train.epochs)
    conductor = Conductor(experiment, log)
    try:
        _run(prepared, conductor)
    except KeyboardInterrupt:
        outcome = _conclude(prepared, conductor, log)  # before Tune took Ctrl-C over: an interruption like any other
    except BaseException as error:
        with suppress(RaytuneError):  # a full disk, say, may refuse this too; the first error is the one to show
            _conclude(prepared, conductor, log, failure=f"{type(error).__name__}: {error}")
        raise
    else:
        outcome = _conclude(prepared, conductor, log)
    if outcome.winner is None and outcome.state is not StudyState.STOPPED:
        raise StudyError(f"study {folder.study} has no winner: {_why(outcome.view)}", f"look into {folder.location}")
    return outcome


def _run(prepared: Prepared, conductor: Conductor) -> None:
    experiment, resources = prepared.experiment, prepared.resources
    shared = TrialInput(
        experiment=experiment.to_dict(),
        data=prepared.data,
        speed=Speed(),
        cpus=resources.cpus,
        uses_gpu=resources.gpus > 0,
        code_paths=prepared.code_paths,
    )
    if experiment.train.speed == "auto":
        choice = measure_speed(shared, suggest(experiment, 0), resources)
        prepared.folder.update(speed=choice)
        shared = replace(shared, speed=Speed.from_dict(choice["speed"]))
    run_trials(experiment, shared, prepared.folder, conductor, resources, lambda values: _parameters(prepared, values))


def _conclude(prepared: Prepared, conductor: Conductor, log: EventLog, failure: str | None = None) -> Outcome:
    """Choose the winner of what there is and write the study down as ended."""
    folder, experiment = prepared.folder, prepared.experiment
    view = log.view
    running = [trial.number for trial in view.trials.values() if trial.state is TrialState.RUNNING]
    for number in running:
        conductor.ended(number)
    whole = not running and len(view.trials) == view.planned_trials
    winner = choose(view, experiment.objective)
    reason = failure or conductor.stop_reason or (None if whole else "interrupted")
    if reason == "interrupted":
        state = StudyState.STOPPED
    else:
        state = StudyState.FINISHED if winner and not failure else StudyState.FAILED
    if winner:
        write_winner(folder, experiment, winner)
    write_trials(folder, view, experiment.objective)
    _end(folder, log, state, reason)
    return Outcome(folder, state, reason, view, winner)


def write_winner(
    folder: StudyFolder,
    experiment: Experiment,
    winner: Winner,
    test: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
) -> None:
    """Write winner.json: what won, by which score, and (once scored and registered) its test scores and version."""
    content = {
        **asdict(winner),
        "metric": experiment.objective.metric.value,
        "mode": experiment.objective.mode,
        "experiment": resolve(experiment, winner.config).to_dict(),
        "test": test,
        "model": model,
    }
    folder.storage.write_json(folder.paths.winner, finite(content))


def _end(folder: StudyFolder, log: EventLog, state: StudyState, reason: str | None) -> None:
    log.append("study_ended", state=state.value, reason=reason)
    folder.update(state=state.value, reason=reason, ended=datetime.now(UTC).isoformat(timespec="seconds"))


def _extremes(experiment: Experiment) -> Iterator[Experiment]:
    """The first trial's experiment, then with each search domain of shape or batch at each of its edges in turn."""
    first = suggest(experiment, 0)
    yield resolve(experiment, first)
    for path, domain in experiment.domains().items():
        if is_of_shape(path):
            for edge in domain.edges():
                yield resolve(experiment, {**first, path: edge})


def _with_absolute_path(experiment: Experiment) -> Experiment:
    """A study must find its data again from any folder."""
    if experiment.data.path is None:
        return experiment
    path = str(Path(experiment.data.path).expanduser().absolute())
    return parse(merge(experiment.to_dict(), {"data.path": path}))


def _parameters(prepared: Prepared, values: dict[str, Any]) -> int | None:
    experiment = resolve(prepared.experiment, values)
    try:
        return parameter_count(build_classifier(experiment, prepared.data))
    except RaytuneError:
        return None  # the trial itself will say why


def _why(view: StudyView) -> str:
    errors = [trial.error for trial in view.trials.values() if trial.error]
    if errors:
        return f"{len(errors)} of {len(view.trials)} trials failed, the first with: {errors[0]}"
    return "every trial diverged; lower the learning rates"
