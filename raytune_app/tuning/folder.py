"""A study's folder: an immutable id, the resolved experiment, and `study.json` with what is needed to reproduce it."""

from __future__ import annotations

import hashlib
import platform
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import yaml

import raytune_app
from raytune_app.errors import NotFoundError
from raytune_app.names import check_name
from raytune_app.spec import Experiment, parse
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.events import read_events
from raytune_app.tuning.view import StudyState, StudyView

VERSIONED = ("ray", "torch", "torchvision", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """One study in a storage."""

    storage: Storage
    paths: StudyPaths

    @property
    def study(self) -> str:
        return self.paths.study

    @property
    def location(self) -> str:
        """The folder as a person would open it."""
        return self.storage.location(self.paths.folder)

    def record(self) -> dict[str, Any]:
        """The content of study.json."""
        content: dict[str, Any] = self.storage.read_json(self.paths.state)
        return content

    def experiment(self) -> Experiment:
        """The experiment as it was run, defaults written out."""
        return parse(yaml.safe_load(self.storage.read_text(self.paths.spec)))

    def view(self) -> StudyView:
        """What the event log says. Raises NotFoundError if there is none yet."""
        return StudyView.of(read_events(self.storage, self.paths))

    def winner(self) -> dict[str, Any] | None:
        """The content of winner.json; None while nothing is chosen."""
        if not self.storage.exists(self.paths.winner):
            return None
        content: dict[str, Any] = self.storage.read_json(self.paths.winner)
        return content

    def update(self, **changes: Any) -> None:
        """Write study.json again with these fields changed."""
        self.storage.write_json(self.paths.state, {**self.record(), **changes})


def create_study(
    storage: Storage,
    experiment: Experiment,
    study: str | None = None,
    *,
    job: Mapping[str, Any] | None = None,
    replay: Mapping[str, Any] | None = None,
) -> StudyFolder:
    """Make the folder of a new study that nobody works on yet.

    Args:
        study: its id, from `new_id`.
        job: of a cluster, where it was submitted to one.
        replay: the study and the plan that this one trains again.
    """
    study = study or new_id(experiment.name)
    folder = StudyFolder(storage, StudyPaths(study))
    storage.write(folder.paths.spec, experiment.to_yaml())
    storage.write_json(
        folder.paths.state,
        {
            "study": study,
            "name": experiment.name,
            "state": StudyState.QUEUED.value,
            "reason": None,
            "seed": experiment.seed,
            "created": now_text(),
            "began": None,
            "ended": None,
            "settled": False,
            "versions": _versions(),
            "data_fingerprint": None,
            "code_fingerprint": code_fingerprint(),
            "speed": None,
            "job": dict(job) if job else None,
            "driver": None,
            "replay": dict(replay) if replay else None,
        },
    )
    return folder


def new_id(name: str) -> str:
    """An id for a study of the experiment `name`: name, time and chance, so never used twice."""
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def take_up(folder: StudyFolder, data_fingerprint: str) -> None:
    """From now on this process works on the study."""
    begins = {"state": StudyState.RUNNING.value, "reason": None, "began": now_text(), "ended": None, "settled": False}
    folder.update(**begins, driver=this_process(), data_fingerprint=data_fingerprint)


def now_text() -> str:
    """The time, as records have it: ISO 8601, UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def open_study(storage: Storage, study: str) -> StudyFolder:
    """The study with this id, or the newest whose id starts with it. Raises NotFoundError naming what there is."""
    check_name(study, "study")
    known = storage.folders("studies")
    if study in known:
        return StudyFolder(storage, StudyPaths(study))
    matching = [name for name in known if _experiment_of(name) == study] or [n for n in known if n.startswith(study)]
    if not matching:
        raise NotFoundError(f"no study {study!r} in {storage.uri}", "`raytune studies` lists them; check --storage")
    newest = max(matching, key=lambda name: name.rsplit("-", 3)[1:3])
    return StudyFolder(storage, StudyPaths(newest))


def this_process() -> dict[str, Any]:
    """Who works on a study: for those who would work on it at the same time."""
    process = psutil.Process()
    return {"host": platform.node(), "pid": process.pid, "started": process.create_time()}


def is_worked_on(record: Mapping[str, Any]) -> bool:
    """True if the process that `study.json` names is on this machine and still lives; another machine's is not seen."""
    driver = record.get("driver") or {}
    if record["state"] != StudyState.RUNNING or driver.get("host") != platform.node():
        return False
    try:
        return bool(psutil.Process(driver["pid"]).create_time() == driver["started"])
    except psutil.NoSuchProcess:
        return False


def _experiment_of(study: str) -> str:
    """The experiment's name in a study's id: what stands before day, time and chance."""
    return study.rsplit("-", 3)[0]


def code_fingerprint() -> str:
    """SHA-256 over this package's own source files."""
    root = Path(raytune_app.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    own = {"raytune": raytune_app.__version__, "python": platform.python_version()}
    return own | {name: version(name) for name in VERSIONED}
