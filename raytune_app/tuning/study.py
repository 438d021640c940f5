"""One study from experiment to winner: prepare, tune, choose, score on the sealed test part, register."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import ray

from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_training
from raytune_app.errors import StudyError
from raytune_app.models.catalog import build, parameter_count
from raytune_app.spec import Experiment, parse, resolve
from raytune_app.spec.reading import merge
from raytune_app.storage import Storage
from raytune_app.training.run import check_batch, signature_of
from raytune_app.training.speed import Speed
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.events import EventLog, Observer, StudyState, StudyView, TrialState, finite, read_events
from raytune_app.tuning.folder import StudyFolder, create_study
from raytune_app.tuning.resources import TrialResources, allot
from raytune_app.tuning.runner import measure_speed, run_trials
from raytune_app.tuning.space import suggest, trial_count
from raytune_app.tuning.tables import write_trials
from raytune_app.tuning.trainable import TrialInput
from raytune_app.tuning.winner import Winner, choose


@dataclass(frozen=True)
class Prepared:
    """A study that may start: everything that can be refused has been checked."""

    experiment: Experiment
    data: Training
    resources: TrialResources
    folder: StudyFolder


@dataclass(frozen=True)
class Outcome:
    """How a study ended; `winner` is None if nothing could be chosen."""

    folder: StudyFolder
    state: StudyState
    reason: str | None
    view: StudyView
    winner: Winner | None


def prepare(experiment: Experiment, storage: Storage) -> Prepared:
    """Check the experiment against the data, the network and the connected cluster; then make the study's folder.

    Raises:
        DataError: the data cannot be read or does not fit the experiment.
        ResourceError: the cluster can never run one trial.
        InputError: the network cannot be built.
        StorageError: the study folder cannot be written.
    """
    resources = allot(experiment.resources, ray.cluster_resources(), trial_count(experiment))
    data = load_training(experiment.data, experiment.seed)
    first = resolve(experiment, suggest(experiment, 0))
    build(first.model, signature_of(first, data), seed=0)
    check_batch(_with_largest_batch(first, experiment), data)
    return Prepared(experiment, data, resources, create_study(storage, experiment, data.fingerprint))


def tune(prepared: Prepared, observers: Sequence[Observer] = (), code_paths: Sequence[str] = ()) -> Outcome:
    """Run the trials and choose the winner; Ctrl-C ends early with what there is.

    Raises:
        StudyError: no trial has a checkpoint with a finite score; the message carries the first trial's error.
    """
    folder, experiment = prepared.folder, prepared.experiment
    log = EventLog(folder.storage, folder.paths, observers)
    log.append("study_started", study=folder.study, trials=trial_count(experiment), epochs=experiment.train.epochs)
    conductor = Conductor(experiment, log)
    try:
        _run(prepared, conductor, tuple(code_paths))
    except BaseException as error:
        _end(folder, log, StudyState.FAILED, f"{type(error).__name__}: {error}")
        raise
    outcome = _conclude(prepared, conductor, log)
    if outcome.winner is None and outcome.state is not StudyState.STOPPED:
        raise StudyError(f"study {folder.study} has no winner: {_why(outcome.view)}", f"look into {folder.location}")
    return outcome


def _run(prepared: Prepared, conductor: Conductor, code_paths: tuple[str, ...]) -> None:
    experiment, resources = prepared.experiment, prepared.resources
    shared = TrialInput(
        experiment=experiment.to_dict(),
        data=prepared.data,
        speed=Speed(),
        cpus=resources.cpus,
        uses_gpu=resources.gpus > 0,
        code_paths=code_paths,
    )
    if experiment.train.speed == "auto":
        choice = measure_speed(shared, suggest(experiment, 0), resources)
        prepared.folder.update(speed=choice)
        shared = replace(shared, speed=Speed.from_dict(choice["speed"]))
    run_trials(experiment, shared, prepared.folder, conductor, resources, lambda values: _parameters(prepared, values))


def _conclude(prepared: Prepared, conductor: Conductor, log: EventLog) -> Outcome:
    folder, experiment = prepared.folder, prepared.experiment
    view = StudyView.of(read_events(folder.storage, folder.paths))
    for trial in view.trials.values():
        if trial.state is TrialState.RUNNING:
            conductor.ended(trial.number)
    whole = len(view.trials) == view.planned_trials and all(
        t.state is not TrialState.RUNNING for t in view.trials.values()
    )
    reason = conductor.stop_reason or (None if whole else "interrupted")
    view = StudyView.of(read_events(folder.storage, folder.paths))
    winner = choose(view, experiment.objective)
    finished = whole or conductor.stop_reason is not None
    state = (StudyState.FINISHED if winner else StudyState.FAILED) if finished else StudyState.STOPPED
    _end(folder, log, state, reason)
    write_trials(folder, view, experiment.objective)
    if winner:
        write_winner(folder, experiment, winner)
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


def _with_largest_batch(first: Experiment, experiment: Experiment) -> Experiment:
    """The first trial's experiment with the largest batch that the search may draw."""
    domain = experiment.domains().get("train.batch_size")
    return parse(merge(first.to_dict(), {"train.batch_size": int(max(domain.edges()))})) if domain else first


def _parameters(prepared: Prepared, values: dict[str, Any]) -> int | None:
    experiment = resolve(prepared.experiment, values)
    return parameter_count(build(experiment.model, signature_of(experiment, prepared.data), seed=0))


def _why(view: StudyView) -> str:
    errors = [trial.error for trial in view.trials.values() if trial.error]
    if errors:
        return f"{len(errors)} of {len(view.trials)} trials failed, the first with: {errors[0]}"
    return "every trial diverged; lower the learning rates"
