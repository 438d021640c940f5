"""What ends the search early: counted from the reports, without a clock of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raytune_app.spec.grammar import BudgetSpec, ObjectiveSpec


@dataclass
class Budget:
    """What the search has used.

    Args:
        spec: the limits.
        objective: for target and plateau.
        devices: GPUs of one trial, or its CPUs where it has none.
    """

    spec: BudgetSpec
    objective: ObjectiveSpec
    devices: float = 1.0
    epochs: int = 0
    device_s: float = 0.0
    _best: float = -math.inf
    _trials_best: float = -math.inf
    _since_best: int = 0
    _counted: set[int] = field(default_factory=set)

    def reported(self, row: Mapping[str, Any]) -> None:
        """Count one epoch."""
        self.epochs += 1
        self.device_s += (row.get("epoch_s") or 0.0) * self.devices
        value = row.get(self.objective.metric)
        if not row["diverged"] and value is not None and math.isfinite(value):
            self._best = max(self._best, self.objective.sign * value)

    def ended(self, trial: int, value: float | None) -> None:
        """Count a trial that is over or paused, once, with its best objective: for the plateau."""
        score = -math.inf if value is None else self.objective.sign * value
        self._since_best += trial not in self._counted
        if score > self._trials_best:
            self._since_best, self._trials_best = 0, score
        self._counted.add(trial)

    def spent(self, wall_s: float) -> str | None:
        """Which limit is reached, in words; None while there is some left.

        Args:
            wall_s: seconds since the study began, pauses between resumptions not counted.
        """
        spec = self.spec
        limits = (
            (spec.epochs, self.epochs, f"budget: {spec.epochs} epochs"),
            (spec.wall_time_s, wall_s, f"budget: {spec.wall_time_s or 0:g} s"),
            (spec.device_hours, self.device_s / 3600, f"budget: {spec.device_hours or 0:g} device hours"),
            (spec.plateau, self._since_best, f"plateau: {spec.plateau} trials without a better one"),
        )
        reached = [said for limit, used, said in limits if limit is not None and used >= limit]
        if spec.target is not None and self._best >= self.objective.sign * spec.target:
            reached.append(f"target: {self.objective.metric} {spec.target:g}")
        return reached[0] if reached else None
