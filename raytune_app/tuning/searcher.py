"""Ray Tune's Searcher, thin: hands out the stints that the Conductor decides on."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from raytune_app.tuning.conductor import Conductor


class ConductedSearcher(Searcher):  # type: ignore[misc]  # Ray is untyped
    """Every stint is a trial to Ray: a trial of ours that pauses and goes on is several of Ray's."""

    def __init__(self, conductor: Conductor) -> None:
        objective = conductor.experiment.objective
        super().__init__(metric=str(objective.metric), mode=str(objective.mode))
        self._conductor = conductor

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._conductor.fault is not None:
            return str(Searcher.FINISHED)
        stint = self._conductor.next()
        if stint is not None:
            return stint.to_dict()
        return str(Searcher.FINISHED) if self._conductor.over else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:  # noqa: FBT001, FBT002  # Ray's signature
        """The callback tells the Conductor."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the event log is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles the searcher into its own cache; nothing of ours goes in."""
        return {}
