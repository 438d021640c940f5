"""What a free slot is told to do: train a trial, from a saved state or afresh, until the Conductor ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Stint:
    """One stretch of one trial.

    Attributes:
        trial: its number.
        index: how many stints it had before.
        values: its configuration by dotted path.
        seed: of its weights, order and augmentation; the same in all its stints.
        checkpoint: where the state lies, relative to the study folder; None to begin afresh.
        epoch: after which the stint begins.
        gpus: another share than the study's, for a trial that ran out of GPU memory.
        folds: whether the trial is cross-validated, where the study is.
    """

    trial: int
    index: int
    values: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    checkpoint: str | None = None
    epoch: int = 0
    gpus: float | None = None
    folds: bool = True

    @property
    def name(self) -> str:
        """Of its folder and in Ray's dashboard."""
        return f"trial-{self.trial:05d}" + (f"-stint-{self.index}" if self.index else "")

    def to_dict(self) -> dict[str, Any]:
        """As Ray carries it to the trial's process."""
        return asdict(self)
