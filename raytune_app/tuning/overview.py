"""One line of facts about each study of a storage, read from as little as tells them.

A study that has ended says all of it in `study.json`, `winner.json` and three columns of `trials.parquet`; only the
log of one that is at work, or was cut off, is folded.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq

from raytune_app.errors import NotFoundError, RaytuneError
from raytune_app.spec import Experiment
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.account import Account, devices_of
from raytune_app.tuning.events import read_events
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.liveness import is_lost, read_status
from raytune_app.tuning.view import AT_WORK, TrialState

LOST = "stale"
"""The state shown for a study that should be running and whose driver is gone."""
CORRUPT = "corrupt"
"""The state shown for one that cannot be read."""
READERS = 8
"""Studies read at the same time: an object store answers slowly, but many at once."""
_ENDED = (TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED)


@dataclass(frozen=True, slots=True)
class Overview:
    """A study at a glance.

    Attributes:
        state: a StudyState, `stale` or `corrupt`.
        created: ISO 8601, UTC.
        reason: why it ended, or what is wrong.
        job: its job on a cluster; None for a study run where it was started.
        metric, score, trial: the best so far, and whose it is.
        trials: how many are in each state, by TrialState.
        device_hours: hours of training, times the devices of a trial.
    """

    study: str
    state: str
    created: str
    reason: str | None = None
    job: Mapping[str, Any] | None = None
    metric: str | None = None
    score: float | None = None
    trial: int | None = None
    trials: Mapping[str, int] = field(default_factory=dict)
    device_hours: float | None = None

    @property
    def running(self) -> int:
        return self.trials.get(TrialState.RUNNING, 0)

    @property
    def done(self) -> int:
        """Trials that ended as trials do: whole, stopped by the scheduler, or diverged."""
        return sum(self.trials.get(state, 0) for state in _ENDED)

    @property
    def failed(self) -> int:
        return self.trials.get(TrialState.FAILED, 0)

    def age_s(self, now: datetime | None = None) -> float | None:
        """Seconds since it was made; None if that is not known."""
        if not self.created:
            return None
        return ((now or datetime.now(UTC)) - datetime.fromisoformat(self.created)).total_seconds()

    def to_dict(self) -> dict[str, Any]:
        """Every field, for JSON."""
        return {**asdict(self), "running": self.running, "done": self.done, "failed": self.failed}


def overviews(storage: Storage) -> list[Overview]:
    """All studies, the newest first; one that cannot be read hides no other. Raises StorageError for the storage."""
    names = storage.folders("studies")
    with ThreadPoolExecutor(READERS) as readers:
        found = list(readers.map(lambda name: _readable(StudyFolder(storage, StudyPaths(name))), names))
    return sorted((one for one in found if one), key=lambda one: (one.created, one.study), reverse=True)


def device_hours(
    account: Account, experiment: Experiment, record: Mapping[str, Any], status: Mapping[str, Any] | None = None
) -> float:
    """Hours that the search has trained, times the devices of a trial: what `budget.device_hours` limits."""
    workers = experiment.parallel.workers if experiment.parallel else 1
    sections = {"resources": experiment.resources.model_dump(), "parallel": {"workers": workers}}
    return _hours(account.seconds, sections, record, on_gpu=_on_gpu(account, status))


_COLUMNS = ("state", "trained_s", "gpu_mb")


def overview(folder: StudyFolder) -> Overview:
    """One study. Raises NotFoundError or StorageError."""
    record = folder.record()
    state = record["state"]
    is_at_work = state in AT_WORK
    status = read_status(folder) if is_at_work else None
    shown = LOST if is_lost(record, status) else state
    known = {"created": record["created"], "reason": record["reason"], "job": record.get("job")}
    facts = None if is_at_work else _from_table(folder, record)
    if facts is None:
        facts = _from_log(folder, record, status)
    return Overview(folder.study, str(shown), **known, **facts)


def _readable(folder: StudyFolder) -> Overview | None:
    """None for a folder that is no study, or not yet."""
    try:
        return overview(folder)
    except RaytuneError as error:
        if isinstance(error, NotFoundError) and not folder.storage.exists(folder.paths.state):
            return None
        return Overview(folder.study, CORRUPT, "", error.message)
    except (ValueError, KeyError, TypeError) as error:
        return Overview(folder.study, CORRUPT, "", f"it cannot be read: {type(error).__name__}: {error}")


def _from_table(folder: StudyFolder, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the files of an ended study say; None if there is no table, or one of an earlier version."""
    try:
        raw = folder.storage.read(folder.paths.trials)
    except NotFoundError:
        return None
    table = pq.ParquetFile(io.BytesIO(raw))
    if not set(_COLUMNS) <= set(table.schema_arrow.names):
        return None
    columns = table.read(columns=list(_COLUMNS)).to_pydict()  # imports no pandas
    winner = folder.winner()
    best = {name: winner[name] for name in ("metric", "score", "trial")} if winner else {}
    experiment = winner["experiment"] if winner else folder.experiment().to_dict()
    hours = _hours(sum(columns["trained_s"]), experiment, record, on_gpu=any(columns["gpu_mb"]))
    return {**best, "trials": dict(Counter(columns["state"])), "device_hours": hours}


def _from_log(folder: StudyFolder, record: Mapping[str, Any], status: Mapping[str, Any] | None) -> dict[str, Any]:
    if not folder.storage.exists(folder.paths.events):
        return {}
    experiment = folder.experiment()
    account = Account(experiment.objective, read_events(folder.storage, folder.paths))
    leader, metric = account.leader, str(experiment.objective.metric)
    row = account.best(leader.number) if leader else None
    best = {"metric": metric, "score": row[metric], "trial": leader.number} if leader and row else {}
    seconds = sum(one.seconds for one in account.view.trials.values())
    hours = _hours(seconds, experiment.to_dict(), record, on_gpu=_on_gpu(account, status))
    return {**best, "trials": {state.value: count for state, count in account.counts.items()}, "device_hours": hours}


def _on_gpu(account: Account, status: Mapping[str, Any] | None) -> bool:
    """Whether a trial used a GPU, or a node of the cluster has one: a user's own training does not say."""
    last = (trial.last for trial in account.view.trials.values())
    nodes = (status or {}).get("nodes", [])
    return any(node["resources"].get("GPU") for node in nodes) or any(row and row.get("peak_gpu_mb") for row in last)


def _hours(seconds: float, experiment: Mapping[str, Any], record: Mapping[str, Any], *, on_gpu: bool) -> float:
    workers = (experiment.get("parallel") or {}).get("workers", 1)
    return seconds / 3600 * devices_of(experiment["resources"], workers, record, on_gpu=on_gpu)
