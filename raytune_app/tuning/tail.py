"""What is new in a study's event log, for those who watch it while it grows."""

from __future__ import annotations

from raytune_app.appended import Place
from raytune_app.tuning.events import parse_lines
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.view import Event


class Tail:
    """Follows one event log from its beginning, on any storage.

    A poll that finds nothing new costs one look at the file, or one listing of the study's folder on an object store.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._storage = folder.storage
        self._path = folder.paths.events
        self._place = Place()

    def new(self) -> list[Event]:
        """The events since the last call, oldest first; a line is told once it is whole. Raises StorageError."""
        content, self._place = self._storage.read_on(self._path, self._place)
        return parse_lines(content)
