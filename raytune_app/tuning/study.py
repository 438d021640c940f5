"""One study from experiment to winner: prepare or reopen, tune, choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray

from raytune_app.cluster.growth import node_types, to_come
from raytune_app.cluster.shared import check_shared
from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_training
from raytune_app.data.folds import make_folds
from raytune_app.errors import DataError, InputError, RaytuneError, StudyError
from raytune_app.spec import Experiment, parse, resolve
from raytune_app.spec.reading import merge
from raytune_app.storage import Storage
from raytune_app.training.examples import encode_once, fingerprint_of
from raytune_app.training.run import build_classifier, check_batch
from raytune_app.training.speed import Speed
from raytune_app.training.user_code import check_user_training
from raytune_app.tuning.beacon import Beacon
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.edit import Changes, check_edit
from raytune_app.tuning.ending import Outcome, conclude, no_winner, paused_by_failures
from raytune_app.tuning.events import EventLog, Observer, read_events
from raytune_app.tuning.folder import StudyFolder, create_study, open_study, take_up
from raytune_app.tuning.liveness import is_lost, read_status
from raytune_app.tuning.machines import hosts
from raytune_app.tuning.resources import TrialResources, allot, gpu_share
from raytune_app.tuning.runner import measure_speed, run_trials
from raytune_app.tuning.search.base import Learnt
from raytune_app.tuning.space import is_of_shape, suggest, trial_count
from raytune_app.tuning.trainable import TrialInput, make_importable
from raytune_app.tuning.view import Event, StudyState
from raytune_app.tuning.warm_start import keep_learnt, kept_learnt, learnt_from


@dataclass(frozen=True)
class Prepared:
    """A study that may start or go on: everything that can be refused has been checked.

    Attributes:
        past: the events of a study that goes on.
        changes: of its experiment, by dotted path.
        learnt: what the searcher knows of another study's trials.
    """

    experiment: Experiment
    data: Training
    resources: TrialResources
    folder: StudyFolder
    code_paths: tuple[str, ...]
    past: tuple[Event, ...] = ()
    changes: Changes | None = None
    learnt: Learnt = field(default_factory=list)


def prepare(
    experiment: Experiment, storage: Storage, code_paths: Sequence[str] = (), replay: Mapping[str, Any] | None = None
) -> Prepared:
    """Check the experiment against the data, the network and the connected cluster; then make the study's folder.

    Args:
        experiment: with its search domains.
        storage: where the study's folder is made.
        code_paths: folders from which a user's own modules may be imported, here and in the trials.
        replay: the study and the plan that this one trains again.

    Raises:
        DataError: the data cannot be read or does not fit the experiment.
        ResourceError: the cluster can never run one trial.
        InputError: the network or the user's own training cannot be used, or not all machines see the storage.
        StorageError: the study folder cannot be written.
    """
    experiment = _with_absolute_path(experiment)
    check_shared(storage, experiment.resources.labels)
    data, resources = _check(experiment, code_paths)
    study = experiment.search.warm_start
    learnt = learnt_from(open_study(storage, study), experiment) if study else []
    folder = create_study(storage, experiment, replay=replay)
    keep_learnt(folder, learnt)
    take_up(folder, fingerprint_of(experiment, data))
    return Prepared(experiment, data, resources, folder, tuple(code_paths), learnt=learnt)


def reopen(folder: StudyFolder, code_paths: Sequence[str] = (), edits: Mapping[str, Any] | None = None) -> Prepared:
    """A study that goes on where it was, whatever ended it, or that was submitted and has not begun.

    Args:
        edits: settings to change, by dotted path; see `edit.SAFE` for what may.

    Raises:
        InputError: an edit is refused by name, or another process works on the study.
        DataError: the data are not what they were.
        All that `prepare` raises.
    """
    record = folder.record()
    _refuse_a_second_driver(folder, record)
    before = folder.experiment()
    experiment = parse(merge(before.to_dict(), edits or {}))
    changes = check_edit(before, experiment)
    check_shared(folder.storage, experiment.resources.labels)
    data, resources = _check(experiment, code_paths)
    found = fingerprint_of(experiment, data)
    if record["data_fingerprint"] not in (None, found):
        remedy = "put the data back as they were, or start another study"
        raise DataError(f"the data of study {folder.study} have changed since it began", remedy)
    learnt = kept_learnt(folder, experiment)
    past = tuple(read_events(folder.storage, folder.paths)) if folder.storage.exists(folder.paths.events) else ()
    folder.storage.write(folder.paths.spec, experiment.to_yaml())
    take_up(folder, found)
    return Prepared(experiment, data, resources, folder, tuple(code_paths), past, changes, learnt)


def _refuse_a_second_driver(folder: StudyFolder, record: Mapping[str, Any]) -> None:
    if record["state"] != StudyState.RUNNING or is_lost(record, read_status(folder)):
        return
    driver = record["driver"]
    said = f"study {folder.study} is being worked on by process {driver['pid']} of {driver['host']}"
    raise InputError(said, f"wait for it, or end it: raytune stop {folder.study}")


def tune(prepared: Prepared, observers: Sequence[Observer] = ()) -> Outcome:
    """Run the trials and choose the winner; Ctrl-C ends early with what there is.

    Raises:
        StudyError: no trial has a checkpoint with a finite score; the message carries the first trial's error.
    """
    folder = prepared.folder
    conductor = _conductor(prepared, EventLog(folder.storage, folder.paths, observers))
    try:
        with Beacon(folder, conductor) as beacon:
            if not conductor.over:
                _run(prepared, conductor, beacon)
    except KeyboardInterrupt:
        outcome = conclude(folder, prepared.experiment, conductor)  # before Tune took Ctrl-C over
    except BaseException as error:
        with suppress(RaytuneError):  # a full disk, say, may refuse this too; the first error is the one to show
            conclude(folder, prepared.experiment, conductor, failure=f"{type(error).__name__}: {error}")
        raise
    else:
        outcome = conclude(folder, prepared.experiment, conductor)
    if outcome.winner is None and not conductor.was_asked and outcome.state is not StudyState.STOPPED:
        said = f"study {folder.study} has no winner: {no_winner(outcome.view)}"
        raise StudyError(said, f"look into {folder.location}")
    return outcome


def _check(experiment: Experiment, code_paths: Sequence[str]) -> tuple[Training, TrialResources]:
    """Everything that can be refused before a folder is made."""
    make_importable(code_paths)
    workers = experiment.parallel.workers if experiment.parallel else 1
    resources = allot(experiment.resources, _nodes(experiment), trial_count(experiment), workers)
    if experiment.trial is not None:
        check_user_training(experiment.trial, code_paths, needs_seed=experiment.confirm is not None)
        return load_training(experiment.data, experiment.seed), resources
    data = encode_once(experiment, load_training(experiment.data, experiment.seed))
    for variant in _extremes(experiment):
        build_classifier(variant, data, seed=0)
        check_batch(variant, data)
    if experiment.folds is not None:
        make_folds(experiment, data)
    return data, resources


def _nodes(experiment: Experiment) -> list[dict[str, float]]:
    """What each node has that carries the asked labels: those that live, and those that may still be started."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    workers = sum("node:__internal_head__" not in node["Resources"] for node in alive)
    coming = [
        {"Resources": dict(each.resources), "Labels": dict(each.labels)}
        for each in to_come(node_types(), workers)
        for _ in range(each.count)
    ]
    return [node["Resources"] for node in (*alive, *coming) if _has_labels(node, experiment)]


def _has_labels(node: Mapping[str, Any], experiment: Experiment) -> bool:
    labels: dict[str, str] = node.get("Labels", {})
    return experiment.resources.labels.items() <= labels.items()


def _conductor(prepared: Prepared, log: EventLog) -> Conductor:
    folder, experiment, resources = prepared.folder, prepared.experiment, prepared.resources
    replay = folder.record().get("replay") or {}
    conductor = Conductor(
        experiment,
        log,
        cpus=resources.cpus * resources.workers,
        gpus=resources.gpus * resources.workers,
        delete=lambda path: folder.storage.delete(folder.paths / path),
        plan=[(int(epoch), values) for epoch, values in replay.get("plan", [])],
        learnt=prepared.learnt,
    )
    size = {"trials": trial_count(experiment), "epochs": experiment.train.epochs}
    if prepared.past:
        conductor.recall(prepared.past)
        if paused_by_failures(prepared.past):
            conductor.readmit()
        changes = {path: list(change) for path, change in (prepared.changes or {}).items()}
        log.append("study_resumed", **size, changes=changes)
    else:
        log.append("study_started", study=folder.study, **size)
    return conductor


def _run(prepared: Prepared, conductor: Conductor, beacon: Beacon) -> None:
    experiment, resources, folder = prepared.experiment, prepared.resources, prepared.folder
    shared = TrialInput(
        experiment=experiment.to_dict(),
        data=prepared.data,
        speed=Speed(),
        storage_uri=folder.storage.uri,
        folder=folder.paths.folder,
        cpus=resources.cpus,
        gpus=resources.gpus,
        code_paths=prepared.code_paths,
    )
    if experiment.train.speed == "auto" and experiment.trial is None:
        choice = folder.record()["speed"]
        if choice is None or choice.get("host") not in hosts():
            before = Speed.from_dict(choice["speed"]).precision if choice else None
            choice = measure_speed(shared, suggest(experiment, 0), resources, before)
            folder.update(speed=choice)
        resources = _packed(experiment, resources, choice.get("gpu"))
        shared = replace(shared, speed=Speed.from_dict(choice["speed"]), gpus=resources.gpus)
        conductor.assign(resources.gpus)
    run_trials(shared, folder, conductor, resources, beacon=beacon)


def _packed(experiment: Experiment, resources: TrialResources, gpu: Mapping[str, float] | None) -> TrialResources:
    """With `gpus: auto`, as many trials on a GPU as the measured peak of one lets fit."""
    if gpu is None or experiment.resources.gpus != "auto" or experiment.parallel is not None:
        return resources
    share = gpu_share(gpu["peak_mb"], gpu["total_mb"])
    asked = experiment.resources.model_copy(update={"gpus": share})
    return allot(asked, _nodes(experiment), trial_count(experiment))


def _extremes(experiment: Experiment) -> Iterator[Experiment]:
    """The first trial's experiment, then with each search domain of shape or batch at each of its edges in turn."""
    first = suggest(experiment, 0)
    yield resolve(experiment, first)
    for path, domain in experiment.domains().items():
        if is_of_shape(path):
            for edge in domain.edges():
                yield resolve(experiment, {**first, path: edge})


def _with_absolute_path(experiment: Experiment) -> Experiment:
    """A study must find its files again from any folder."""
    named = {f"data.{name}": getattr(experiment.data, name) for name in ("path", "validation_path", "test_path")}
    named["model.vectors"] = getattr(experiment.model, "vectors", None)
    absolute = {
        name: str(Path(path).expanduser().absolute()) for name, path in named.items() if path and "://" not in path
    }
    return parse(merge(experiment.to_dict(), absolute)) if absolute else experiment
