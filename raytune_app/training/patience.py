"""How long a training may go on without a better objective."""

from __future__ import annotations

from typing import Any

from raytune_app.spec.grammar import Experiment


class Patience:
    """Remembers the best epoch so far.

    Args:
        experiment: resolved; its first objective is judged, `train.patience` says for how long.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._sign, self._epochs = experiment.objective.sign, experiment.train.patience
        self._best: tuple[float, int] | None = None

    def is_over(self, value: float, epoch: int) -> bool:
        """Take the objective after `epoch`; True if none of the last `train.patience` epochs was a new best."""
        score = self._sign * value
        if self._best is None or score > self._best[0]:
            self._best = score, epoch
        return self._epochs is not None and epoch - self._best[1] >= int(self._epochs)

    def state(self) -> Any:
        """Plain values for JSON."""
        return self._best

    def load_state(self, best: Any) -> None:
        """The inverse of `state`."""
        self._best = None if best is None else (float(best[0]), int(best[1]))
