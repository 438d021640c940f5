"""Sends a study to a cluster as a Ray job, with the code it needs, and finds the jobs of studies again."""

from __future__ import annotations

import importlib.util
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytune_app.errors import InputError, NotFoundError, RaytuneError
from raytune_app.jobs.bundle import Bundle, make_bundle
from raytune_app.jobs.client import answered, quiet
from raytune_app.jobs.order import ENTRYPOINT, VARIABLE, JobOrder
from raytune_app.jobs.place import shared_storage
from raytune_app.process import user_name
from raytune_app.spec import Experiment
from raytune_app.tuning.folder import new_id

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

STOP_WAIT_S = 60
"""How long `ray job stop` waits for a driver to end in good order."""
AGENT_S = 30.0
"""A head that has just started takes no jobs yet."""
_NOT_YET = "No available agent"
_LOCAL_DATA = ("path", "validation_path", "test_path")


@dataclass(frozen=True, slots=True)
class Submitted:
    """A study that is on its way: its id, its job's, where it will be, and what was sent."""

    study: str
    job: str
    storage: str
    bundle: Bundle


def submit(
    client: JobSubmissionClient,
    storage: str | None,
    *,
    experiment: Experiment | None = None,
    study: str | None = None,
    edits: Sequence[str] = (),
    folders: Sequence[Path] = (),
    priority: int = 0,
    retries: int = 2,
    replay: Mapping[str, Any] | None = None,
) -> Submitted:
    """Send a new study, or one that goes on, to the cluster.

    Args:
        storage: URI of where its folder is or will be, as the cluster's nodes see it; None for the default.
        experiment: of a new study; None to go on with `study`.
        edits: for one that goes on, settings to change, as `a.b=c`.
        folders: of the user's own modules; everything in them is sent.
        priority: higher ones leave the queue first.
        retries: how often a driver that died is started again.

    Raises:
        InputError: a folder cannot be sent, the experiment names files of this machine by relative paths or modules
            that nobody sends, or the storage is a folder that other machines do not see.
        RaytuneError: the cluster does not take the job.
    """
    if retries < 0:
        raise InputError(f"{retries} retries are none", "0 starts one driver, and no other when it dies")
    if experiment is not None:
        _refuse_relative_paths(experiment)
        check_modules(experiment, folders)
    storage = shared_storage(client, storage)
    study = study or new_id(experiment.name if experiment else "study")
    order = JobOrder(
        study=study,
        job=study if experiment is not None else f"{study}-{secrets.token_hex(2)}",
        storage=storage,
        spec=experiment.to_dict() if experiment else None,
        edits=tuple(edits),
        user=user_name(),
        priority=priority,
        submitted=datetime.now(UTC).isoformat(timespec="milliseconds"),
        retries=retries,
        replay=dict(replay) if replay else None,
    )
    with tempfile.TemporaryDirectory(prefix="raytune-bundle-") as folder:
        bundle = make_bundle(Path(folder) / "bundle", folders)
        send_job(client, bundle.folder, order.job, {VARIABLE: order.to_text()}, order.metadata())
    return Submitted(study, order.job, storage, bundle)


def send_job(
    client: JobSubmissionClient,
    folder: Path,
    job: str,
    variables: Mapping[str, str],
    metadata: Mapping[str, str],
    module: str | None = None,
) -> None:
    """Send the folder and start the job in it. Raises RaytuneError if the cluster does not take it.

    Args:
        module: of this package, for `start.py` to run instead of the guardian.
    """
    environment = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S), **variables}
    deadline_s = time.monotonic() + AGENT_S
    while True:
        quiet()
        try:
            client.submit_job(
                entrypoint=f"{ENTRYPOINT} {module}" if module else ENTRYPOINT,
                submission_id=job,
                runtime_env={"working_dir": str(folder), "env_vars": environment},
                metadata=dict(metadata),
            )
        except (RuntimeError, OSError) as error:  # requests' own errors are OSErrors
            if _NOT_YET not in str(error) or time.monotonic() > deadline_s:
                said = f"the cluster does not take the job: {str(error).strip().splitlines()[0]}"
                raise RaytuneError(
                    said, "look into the dashboard, and `raytune cluster check --address ...`"
                ) from error
            time.sleep(0.5)
        else:
            return


def study_jobs(client: JobSubmissionClient) -> list[Any]:
    """Ray's details of every job that is a study's, the newest first."""
    with answered():
        listed = client.list_jobs()
    jobs = [job for job in listed if (job.metadata or {}).get("raytune") == "study"]
    return sorted(jobs, key=lambda job: job.metadata["submitted"], reverse=True)


def newest_job(client: JobSubmissionClient, study: str) -> str:
    """The id of the newest job of the study with this id, or whose id begins so. Raises NotFoundError."""
    jobs = [job for job in study_jobs(client) if job.metadata["study"].startswith(study)]
    if not jobs:
        raise NotFoundError(f"the cluster knows no job of a study {study!r}", "`raytune studies --address` lists them")
    return str(jobs[0].submission_id)


def check_modules(experiment: Experiment, folders: Sequence[Path]) -> None:
    """Raises InputError for a module of the user's own that lies here and in none of the folders that are sent.

    One that is installed may be installed there too.
    """
    named = {"trial": experiment.trial, "model.factory": getattr(experiment.model, "factory", None)}
    for where, target in named.items():
        module = (target or "").partition(":")[0]
        parts = module.split(".")
        is_sent = any((folder / parts[0]).is_dir() or (folder / f"{parts[0]}.py").exists() for folder in folders)
        if module and not is_sent and not _is_installed(parts[0]):
            remedy = "send the folder it lies in: --with FOLDER"
            raise InputError(f"{where}: the module {module!r} is in none of the folders that are sent", remedy)


def _is_installed(module: str) -> bool:
    found = importlib.util.find_spec(module)
    return found is not None and "site-packages" in str(found.origin or found.submodule_search_locations)


def _refuse_relative_paths(experiment: Experiment) -> None:
    named = {f"data.{name}": getattr(experiment.data, name, None) for name in _LOCAL_DATA}
    named["model.vectors"] = getattr(experiment.model, "vectors", None)
    relative = [
        f"{name}: {path}" for name, path in named.items() if path and "://" not in path and not path.startswith("/")
    ]
    if relative:
        remedy = "give the path on storage that the cluster's nodes share, or a URI"
        raise InputError(f"relative to this folder, which does not travel: {'; '.join(relative)}", remedy)
