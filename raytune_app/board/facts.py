"""A study's head: what it is, how it is, what of its budget is spent, who won; and one trial in full."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from raytune_app.board.chronicle import Chronicle
from raytune_app.board.columns import metrics
from raytune_app.errors import NotFoundError
from raytune_app.spec.grammar import Experiment, PopulationSpec, RungsSpec
from raytune_app.training.metrics import SCORE_TITLES
from raytune_app.tuning.account import devices_of
from raytune_app.tuning.events import finite
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.liveness import is_lost, read_status
from raytune_app.tuning.view import CheckpointView

Json = dict[str, Any]


@dataclass(frozen=True)
class Files:
    """What a study's folder holds beside its log, as last read.

    Attributes:
        record: study.json.
        winner: winner.json; None while nothing is chosen.
        status: status.json; None before the driver's first beat.
        lost: whether the driver is gone, though the study should be running.
    """

    record: Json
    winner: Json | None = None
    status: Json | None = None
    lost: bool = False

    @classmethod
    def of(cls, folder: StudyFolder, now: datetime | None = None) -> Files:
        """Read them, at `now` in UTC. Raises NotFoundError, StorageError."""
        status, record = read_status(folder), folder.record()
        return cls(record, folder.winner(), dict(status) if status else None, is_lost(record, status, now))


def head(study: str, experiment: Experiment, files: Files, chronicle: Chronicle) -> Json:
    """What a page says of a study, its trials apart."""
    view, record = chronicle.view, files.record
    state = record["state"] if not view.study or record["state"] == "queued" else view.state.value
    return finite(  # type: ignore[no-any-return]  # a dict in, a dict out
        {
            "id": study,
            "name": experiment.name,
            "state": state,
            "reason": view.reason or record.get("reason"),
            "lost": files.lost,
            "created": record["created"],
            "ended": record.get("ended"),
            "begun": chronicle.begun,
            "job": record.get("job"),
            "replay": record.get("replay"),
            "subject": f"{experiment.trial or experiment.model.name} on {experiment.data.name}",
            "objectives": [{"metric": str(one.metric), "mode": one.mode.value} for one in experiment.objectives],
            "metrics": metrics(experiment),
            "scheduler": _scheduler(experiment),
            "search": experiment.search.name,
            "domains": list(experiment.domains()),
            "planned": view.planned_trials or experiment.trials,
            "epochs_per_trial": view.epochs_per_trial or experiment.train.epochs,
            "progress": list(view.progress()),
            "budget": budget(experiment, record, chronicle),
            "checkpoints_mb": sum(saved.mb for trial in view.trials.values() for saved in trial.checkpoints.values()),
            "status": files.status,
            "winner": files.winner,
            "scores": SCORE_TITLES,
            "spec": experiment.to_yaml(),
            "settings": experiment.to_dict(),
            "seed": record.get("seed"),
            "versions": record.get("versions") or {},
            "fingerprints": {"data": record.get("data_fingerprint"), "code": record.get("code_fingerprint")},
            "speed": (record.get("speed") or {}).get("speed"),
        }
    )


def devices(experiment: Experiment, record: Json, chronicle: Chronicle) -> float:
    """GPUs of one trial, or its CPUs where it has none."""
    workers = experiment.parallel.workers if experiment.parallel else 1
    return devices_of(experiment.resources.model_dump(), workers, record, on_gpu=chronicle.on_gpu)


def budget(experiment: Experiment, record: Json, chronicle: Chronicle) -> list[Json]:
    """What is used of each limit, in the unit of its name; `limit` is None where there is none."""
    spec, account = experiment.budget, chronicle.account
    hours = account.seconds * devices(experiment, record, chronicle) / 3600
    return [
        {"name": "epochs", "used": account.epochs, "limit": spec.epochs},
        {"name": "wall_s", "used": round(account.wall_s, 1), "limit": spec.wall_time_s},
        {"name": "device_hours", "used": round(hours, 5), "limit": spec.device_hours},
    ]


def trial(chronicle: Chronicle, number: int) -> Json:
    """Everything that is known of one trial. Raises NotFoundError."""
    found = chronicle.view.trials.get(number)
    if found is None:
        raise NotFoundError(f"the study has no trial {number}", f"it has {len(chronicle.view.trials)}")
    times = chronicle.times[number]
    begun = chronicle.begun
    return finite(  # type: ignore[no-any-return]  # a dict in, a dict out
        {
            "number": number,
            "config": found.config,
            "error": found.error,
            "stints": [
                {
                    "epoch": stint.epoch,
                    "source": stint.source,
                    "source_epoch": stint.source_epoch,
                    "reason": stint.reason,
                    "config": stint.config,
                    "at": round(time - begun, 1),
                }
                for stint, time in zip(found.stints, times.stints, strict=False)
            ],
            "checkpoints": [_checkpoint(epoch, saved) for epoch, saved in sorted(found.checkpoints.items())],
            "epochs": [{key: value for key, value in row.items() if key not in _OF_THE_LOG} for row in found.epochs],
            "output": [{"epoch": epoch, "text": text} for epoch, text in times.output],
        }
    )


def _scheduler(experiment: Experiment) -> Json:
    spec = experiment.scheduler
    told: Json = {"name": spec.name}
    if isinstance(spec, RungsSpec):
        told |= {"grace": spec.grace, "reduction": spec.reduction}
    if isinstance(spec, PopulationSpec):
        told |= {"interval": spec.interval}
    return told


def _checkpoint(epoch: int, saved: CheckpointView) -> Json:
    return {"epoch": epoch, "path": saved.path, "mb": saved.mb if math.isfinite(saved.mb) else None}


_OF_THE_LOG = {"event", "time", "trial"}
