"""Ray Tune's Searcher, thin: hands out trial numbers with the values `space.suggest` gives them."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from raytune_app.spec.grammar import Experiment
from raytune_app.tuning.space import suggest, trial_count


class NumberedSearcher(Searcher):  # type: ignore[misc]  # Ray is untyped
    """Suggests {"number": n, "values": {...}} for n = 0, 1, ... until the study's trials are handed out."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(metric=experiment.objective.metric.value, mode=experiment.objective.mode.value)
        self._experiment = experiment
        self._next = 0

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._next >= trial_count(self._experiment):
            return str(Searcher.FINISHED)
        number, self._next = self._next, self._next + 1
        return {"number": number, "values": suggest(self._experiment, number)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:  # noqa: FBT001, FBT002  # Ray's signature
        """Nothing to learn: suggestions depend on the seed and the number alone."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the event log is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
