"""The studies of a storage at a glance: ended ones are read once, those at work are followed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from raytune_app.board.facts import devices
from raytune_app.board.watched import Json, Shelf
from raytune_app.errors import RaytuneError
from raytune_app.storage import StudyPaths
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.liveness import is_lost, read_status
from raytune_app.tuning.overview import LOST, READERS, Overview, overview
from raytune_app.tuning.view import AT_WORK


class Listing:
    """What the page of all studies shows; safe to use from several threads."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._ended: dict[str, tuple[Json, Json]] = {}
        """By id: the record as it was read, and what was made of it."""

    def studies(self) -> list[Json]:
        """One entry a study, the newest first; one that cannot be read says so. Raises StorageError for the storage."""
        names = self._shelf.storage.folders("studies")
        with ThreadPoolExecutor(READERS) as readers:
            found = [entry for entry in readers.map(self._entry, names) if entry is not None]
        return sorted(found, key=lambda entry: (entry["created"], entry["study"]), reverse=True)

    def _entry(self, study: str) -> Json | None:
        folder = StudyFolder(self._shelf.storage, StudyPaths(study))
        try:
            record = folder.record()
            if record["state"] in AT_WORK:
                return self._at_work(folder, record)
            if self._ended.get(study, ({}, {}))[0] != record:
                self._ended[study] = record, overview(folder).to_dict()
            return self._ended[study][1]
        except (RaytuneError, ValueError, KeyError, TypeError) as error:
            if not folder.storage.exists(folder.paths.state):
                return None
            said = error.message if isinstance(error, RaytuneError) else f"{type(error).__name__}: {error}"
            return Overview(study, "corrupt", "", f"it cannot be read: {said}").to_dict()

    def _at_work(self, folder: StudyFolder, record: Json) -> Json:
        watched = self._shelf.study(folder.study)
        watched.look()
        chronicle, experiment = watched.chronicle, watched.experiment
        account, metric = chronicle.account, str(experiment.objective.metric)
        leader = account.leader
        row = account.best(leader.number) if leader else None
        trained_s = sum(times.train_s for times in list(chronicle.times.values()))
        best: dict[str, Any] = {"score": row[metric], "trial": leader.number} if leader and row else {}
        return Overview(
            folder.study,
            LOST if is_lost(record, read_status(folder)) else record["state"],
            record["created"],
            record["reason"],
            record.get("job"),
            metric=metric,
            trials={state.value: count for state, count in account.counts.items()},
            device_hours=trained_s / 3600 * devices(experiment, record, chronicle),
            **best,
        ).to_dict()
